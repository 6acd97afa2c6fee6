from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from mmdefect.engine.hooks.continual.chain import ChainCheckpointHook


class Detector(nn.Module):
    """The keys of a GFL detector that chaining is about."""

    def __init__(self, classes: int, *, wide: int = 4, extra: bool = False) -> None:
        super().__init__()
        self.backbone = nn.Linear(wide, 3)
        self.bbox_head = nn.Module()
        self.bbox_head.gfl_cls = nn.Conv2d(3, classes, 3)
        if extra:
            self.prompt = nn.Parameter(torch.ones(2))


def make_runner(model: nn.Module, iteration: int = 0) -> Any:
    logger = logging.getLogger('test_chain')
    return SimpleNamespace(iter=iteration, model=model, logger=logger)


def save(path: Path, model: nn.Module, classes: list[str] | None) -> Path:
    meta = {} if classes is None else {'dataset_meta': {'classes': tuple(classes)}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    return path


def chain(path: Path, model: nn.Module, classes: list[str], **kwargs: Any) -> None:
    hook = ChainCheckpointHook(checkpoint=str(path), classes=classes, **kwargs)
    hook.before_train(make_runner(model))


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_feature_copied_and_expanded_by_name(tmp_path: Path) -> None:
    old, new = Detector(2), Detector(3)
    fresh = new.bbox_head.gfl_cls.weight[1].clone()
    path = save(tmp_path / 'old.pth', old, ['a', 'b'])
    chain(path, new, ['b', 'c', 'a'])
    assert same(old.backbone, new.backbone)
    rows, before = new.bbox_head.gfl_cls.weight, old.bbox_head.gfl_cls.weight
    assert torch.equal(rows[0], before[1])
    assert torch.equal(rows[2], before[0])
    assert torch.equal(rows[1], fresh)  # its prior bias, too, is the head's own
    assert torch.equal(new.bbox_head.gfl_cls.bias[[2, 0]], old.bbox_head.gfl_cls.bias)


def test_feature_reports_what_it_did(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save(tmp_path / 'old.pth', Detector(2), ['a', 'b'])
    with caplog.at_level(logging.INFO):
        chain(path, Detector(3), ['a', 'b', 'c'])
    assert caplog.messages == [
        f'Started from {path}: 2 keys copied, 2 expanded by class name, 0 newly '
        'initialised; classes taken over: a, b; fresh: c'
    ]


def test_feature_resumed_run_is_left_alone(tmp_path: Path) -> None:
    new = Detector(3)
    before = new.backbone.weight.clone()
    hook = ChainCheckpointHook(
        checkpoint=str(tmp_path / 'not-even-there.pth'), classes=['a', 'b', 'c']
    )
    hook.before_train(make_runner(new, iteration=1))
    assert torch.equal(new.backbone.weight, before)


def test_feature_new_keys(tmp_path: Path) -> None:
    """In a wrapped model, whose class rows may be others."""
    old, new = nn.DataParallel(Detector(2)), Detector(3, extra=True)
    new.class_keys = ('bbox_head.gfl_cls.bias', 'bbox_head.gfl_cls.weight')
    path = save(tmp_path / 'old.pth', old, ['a', 'b'])
    chain(path, nn.DataParallel(new), ['a', 'b', 'c'], new_keys=['prompt'])
    assert torch.equal(new.prompt.detach(), torch.ones(2))
    assert same(old.module.backbone, new.backbone)


@pytest.mark.parametrize(
    ('old', 'new', 'named'),
    [
        (Detector(2), Detector(2, extra=True), '1 not in the old weights: prompt'),
        (Detector(2, extra=True), Detector(2), '1 not in the model: prompt'),
        (
            Detector(2, wide=5),
            Detector(2),
            r'1 of another shape: backbone\.weight \(3, 5\) -> \(3, 4\)',
        ),
    ],
)
def test_exception_names_the_keys(
    old: nn.Module, new: nn.Module, named: str, tmp_path: Path
) -> None:
    """MMEngine's own loader would warn and go on."""
    path = save(tmp_path / 'old.pth', old, ['a', 'b'])
    with pytest.raises(ValueError, match=named):
        chain(path, new, ['a', 'b'])


def test_exception_checkpoint_without_classes(tmp_path: Path) -> None:
    path = save(tmp_path / 'old.pth', Detector(2), None)
    message = r'old\.pth does not name its classes: expected them in meta\.dataset_meta'
    with pytest.raises(ValueError, match=message):
        chain(path, Detector(3), ['a', 'b', 'c'])
    chain(path, Detector(3), ['a', 'b', 'c'], checkpoint_classes=['a', 'b'])


def test_exception_lost_class_or_file(tmp_path: Path) -> None:
    path = save(tmp_path / 'old.pth', Detector(2), ['a', 'b'])
    with pytest.raises(ValueError, match=r"'b'"):
        chain(path, Detector(2), ['a', 'c'])
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        chain(tmp_path / 'none.pth', Detector(2), ['a', 'b'])
