from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from mmdefect.apis import build_runner, load_config
from mmdefect.engine.hooks.class_count import ClassCountHook
from tests.conftest import toy_options

CONFIG = Path(__file__).parents[3] / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'


def loader(*classes: str) -> Any:
    return SimpleNamespace(dataset=SimpleNamespace(metainfo={'classes': classes}))


def run(model: nn.Module, train: Any, val: Any = None) -> None:
    runner: Any = SimpleNamespace(
        model=model, train_dataloader=train, val_dataloader=val, val_loop=val
    )
    ClassCountHook().before_train(runner)


def head(number: int) -> nn.Module:
    made = nn.Module()
    made.num_classes = number
    return made


def test_smoke() -> None:
    model = nn.Module()
    run(model, loader('a'))  # no detector
    model.bbox_head = head(2)
    run(model, loader('a', 'b'), loader('a', 'b'))
    run(model, SimpleNamespace(dataset=[1, 2]))  # says no classes
    with pytest.raises(ValueError, match=r'bbox_head\.num_classes=2: expected 1, as'):
        run(model, loader('a', 'b'), loader('a'))


def test_exception_folders_in_another_order() -> None:
    """mmpretrain numbers folders by the alphabet, whatever ``classes`` says."""
    data = loader('scrap', 'good')
    data.dataset.folder_to_idx = {'good': 0, 'scrap': 1}
    with pytest.raises(ValueError, match=r"'good'\]: .*'good', 'scrap'\], the order"):
        run(nn.Module(), data)
    data.dataset.metainfo = {'classes': ['good', 'scrap']}
    run(nn.Module(), data)
    data.dataset.metainfo = {'classes': ('ausschuss', 'gut')}  # other names for both
    run(nn.Module(), data)


def test_exception_cascade() -> None:
    model = nn.Module()
    model.roi_head = nn.Module()
    model.roi_head.bbox_head = nn.ModuleList([head(2), head(3)])
    message = r'model\.roi_head\.bbox_head\.1\.num_classes=3: expected 2, as'
    wrapped = nn.Module()  # such as DDP, or test-time augmentation
    wrapped.module = nn.Module()
    wrapped.module.module = model
    for each in (model, wrapped):
        with pytest.raises(ValueError, match=message):
            run(each, loader('a', 'b'))


@pytest.mark.parametrize(('mode', 'number'), [('train', 4), ('test', 7)])
def test_exception_a_head_that_was_forgotten(
    toy_neu_det: Path, tmp_path: Path, mode: str, number: int
) -> None:
    options = {**toy_options(toy_neu_det), 'model.bbox_head.num_classes': number}
    cfg = load_config(CONFIG, cfg_options=options, work_dir=str(tmp_path))
    runner = build_runner(cfg)
    message = (
        rf'^model\.bbox_head\.num_classes={number}: expected 6, as NEUDETDataset has '
        r'crazing, inclusion, .*; set it, or correct the classes$'
    )
    with pytest.raises(ValueError, match=message):
        getattr(runner, mode)()
