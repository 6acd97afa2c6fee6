"""Every config of a classifier loads and builds without data or weights.

Metafile and README are compared with the folder in ``test_config_names.py``; the
parameters of models are compared with the study in the tests of those.
"""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, HOOKS, MODELS, PARAM_SCHEDULERS
from mmengine.visualization import Visualizer
from torch import nn

from mmdefect.apis import build_runner, load_config
from tests.conftest import REPO
from tests.helpers.configs import (
    CLASSIFICATION,
    configs_in,
    evaluators,
    loaded,
    named,
    scope,
)

CONFIGS = configs_in(CLASSIFICATION)
LEGACY = [path for path in CONFIGS if '_legacy' in path.stem]
DEFAULT = [path for path in CONFIGS if path not in LEGACY]
TRANSFORMERS = ('vit-b16', 'swin-tiny', 'dino-vits8')
NOT_OF_THE_STUDY = ('resnet50-caffe', 'efficientnet-lite0')
SCOPE = 'mmpretrain'


def name_of(path: Path) -> str:
    return path.stem.partition('_')[0]


def side(cfg: Config, split: str) -> tuple[int, int]:
    pipeline = cfg[f'{split}_dataloader'].dataset.pipeline
    (found,) = [t.scale for t in pipeline if t.type == 'Resize']
    return tuple(found)


def test_smoke_something_is_tested() -> None:
    assert len(LEGACY) == 10
    assert len(DEFAULT) == 13
    assert {name_of(path) for path in LEGACY} < {name_of(path) for path in DEFAULT}


def test_smoke_data_metric_and_hooks_build_without_data(tmp_path: Path) -> None:
    for path in CONFIGS:
        with named(path), scope(SCOPE):
            build_parts(copy.deepcopy(loaded(path)), tmp_path)


def build_parts(cfg: Config, root: Path) -> None:
    """Build data, metrics and hooks; nothing is read."""
    for split in ('train', 'val', 'test'):
        dataset = dict(cfg[f'{split}_dataloader'].dataset, lazy_init=True)
        found = DATASETS.build(dict(dataset, data_root=str(root)))
        assert list(found.metainfo['classes']) == ['def_front', 'ok_front']
    Evaluator([dict(metric) for metric in evaluators(cfg)])
    Visualizer.get_instance('casting_configs')  # which a hook asks for
    for hook in [*cfg.default_hooks.values(), *cfg.custom_hooks]:
        HOOKS.build(dict(hook))
    MODELS.build(dict(cfg.data_preprocessor, type='ClsDataPreprocessor'))


def test_shape_image_size() -> None:
    """That of the study: what the weights were pretrained with, or the camera's."""
    for path in CONFIGS:
        with named(path):
            small = (*TRANSFORMERS, 'mobilenet-v2', *NOT_OF_THE_STUDY)
            expected = (224, 224) if name_of(path) in small else (300, 300)
            cfg = loaded(path)
            assert {side(cfg, split) for split in ('train', 'val', 'test')} == {
                expected
            }


def test_feature_nothing_is_selected_on_test_images() -> None:
    for path in CONFIGS:
        with named(path):
            cfg = loaded(path)
            splits = [
                cfg[f'{s}_dataloader'].dataset.split for s in ('train', 'val', 'test')
            ]
            assert splits == ['train', 'val', 'test']
            for split in ('val', 'test'):
                assert cfg[f'{split}_dataloader'].sampler.round_up is False
                # Augmented images would be validated otherwise, as in the study.
                assert len(cfg[f'{split}_dataloader'].dataset.pipeline) == 3


def test_feature_the_study_s_recipe() -> None:
    for path in LEGACY:
        with named(path):
            cfg = loaded(path)
            luna = name_of(path) == 'luna'
            april = '_legacy-april' in path.stem
            optimizer = dict(cfg.optim_wrapper.optimizer)
            assert optimizer == {
                'type': 'Adam',
                'lr': 1e-3 if luna and not april else 2e-5,
                'weight_decay': 2.5e-4,
            }
            assert cfg.train_cfg.max_epochs == (50 if luna else 6)
            assert cfg.train_dataloader.batch_size == (32 if april else 16)
            assert cfg.train_dataloader.dataset.protocol == 'legacy'
            assert cfg.test_dataloader.dataset.protocol == 'legacy'
            assert cfg.randomness.seed == 42
            assert cfg.param_scheduler == []
            published = path.stem == 'luna_legacy_casting' or april
            assert cfg.model.head.get('double_softmax', False) is published
            assert (
                not {'early_stopping', 'calibration', 'ema'} & cfg.default_hooks.keys()
            )
            assert 'save_best' not in cfg.default_hooks.checkpoint
            assert cfg.data_preprocessor.mean == [143.9] * 3


def test_feature_the_default_recipe() -> None:
    for path in DEFAULT:
        with named(path):
            cfg = loaded(path)
            for split in ('train', 'val', 'test'):
                assert cfg[f'{split}_dataloader'].dataset.protocol == 'cluster_level'
            monitored = 'defect/f1_defective'
            assert cfg.default_hooks.checkpoint.save_best == monitored
            assert cfg.default_hooks.early_stopping.monitor == monitored
            # Grey images have no hue, and the border is no black wedge.
            jitter = next(t for t in cfg.train_pipeline if t.type == 'ColorJitter')
            assert not {'hue', 'saturation'} & jitter.keys()
            rigid = next(
                t for t in cfg.train_pipeline if t.type == 'mmdefect.RandomRigid'
            )
            assert rigid.border == 'reflect'


def test_feature_schedule_ends_with_the_training() -> None:
    """The learning rate goes up, then down to nothing in the last epoch."""
    seen = []
    for path in DEFAULT:
        cfg = loaded(path)
        schedule = (cfg.train_cfg.max_epochs, cfg.param_scheduler)
        if schedule not in seen:
            seen.append(schedule)
            with named(path):
                check_rates(rates_of(*schedule))
    assert len(seen) == 2  # from scratch, and from pretrained weights


def rates_of(epochs: int, param_scheduler: list[dict]) -> list[float]:
    """Learning rates of a training with ten iterations an epoch, its largest is 1."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedulers = []
    with scope(SCOPE):
        for scheduler in param_scheduler:
            made = dict(scheduler, optimizer=optimizer)
            assert made.pop('convert_to_iter_based')
            kind = PARAM_SCHEDULERS.get(made.pop('type'))
            schedulers.append(kind.build_iter_from_epoch(**made, epoch_length=10))
    rates = []
    for _ in range(epochs * 10):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return rates


def check_rates(rates: list[float]) -> None:
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) <= 0.06 * len(rates)
    assert rates[0] < 0.05
    assert rates[-1] < 0.01


def test_feature_a_base_of_one_s_own(tmp_path: Path) -> None:
    """On `mmdefect::` bases every part is found, among them mmpretrain's."""
    mine = tmp_path / 'mine.py'
    mine.write_text(
        "_base_ = 'mmdefect::casting/luna-gap_casting.py'\n", encoding='utf-8'
    )
    cfg = load_config(mine)
    assert cfg.model['_scope_'] == 'mmdefect'
    with scope(SCOPE):
        model = MODELS.build(cfg.model)
        for name in ('train', 'test'):
            dataset = dict(cfg[f'{name}_dataloader'].dataset, lazy_init=True)
            found = DATASETS.build(dict(dataset, data_root=str(tmp_path)))
            assert len(found.pipeline.transforms) == (6 if name == 'train' else 3)
    assert sum(p.numel() for p in model.parameters()) == 73_744


def test_feature_your_own_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example of the guide, on folders of other names; it trains and validates.

    Which of them it takes for defective is said once, before anything was trained.
    """
    guide = (
        (REPO / 'docs/guides/casting.md')
        .read_text(encoding='utf-8')
        .partition('## Your own images')[2]
    )
    code = guide.partition('```python\n')[2].partition('```')[0]
    mine = tmp_path / 'mine.py'
    mine.write_text(
        code.replace('mobilenet-v2_casting', 'luna-gap_casting'), encoding='utf-8'
    )
    for split in ('train', 'val', 'test'):
        for label, name in enumerate(('broken', 'good')):
            folder = tmp_path / 'parts' / split / name
            folder.mkdir(parents=True)
            for number in range(2):
                image = np.full((40, 40, 3), 200 * label + number, np.uint8)
                assert cv2.imwrite(str(folder / f'{number}.png'), image)
    options = {
        f'{split}_dataloader.{key}': value
        for split in ('train', 'val', 'test')
        for key, value in {
            'dataset.data_root': str(tmp_path / 'parts'),
            'batch_size': 2,
            'num_workers': 0,
            'persistent_workers': False,
        }.items()
    }
    options |= {'train_cfg.max_epochs': 1, 'param_scheduler': []}
    cfg = load_config(mine, cfg_options=options, work_dir=str(tmp_path / 'work'))
    runner = build_runner(cfg)
    runner.train()
    before, said, after = capsys.readouterr().out.partition(
        'defective class: broken, not defective: good; if that is wrong, rename'
    )
    assert said
    assert 'Epoch(train)' not in before
    assert 'defective class' not in after
    runner.test()
    classes = runner.val_dataloader.dataset.metainfo['classes']
    assert list(classes) == ['broken', 'good']
    assert list((tmp_path / 'work').glob('best_defect_f1_defective_epoch_1.pth'))
    assert (tmp_path / 'work/calibrated.pth').is_file()
