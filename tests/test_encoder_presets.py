"""Presets on weights of package registries train: two iterations on toys.

ResNet-50, DINOv2 and EfficientNet-Lite at small images, with random weights: slow.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from mmdefect.apis import build_runner, load_config
from mmdefect.models.detection.incremental_detector import IncrementalDetector
from mmdefect.streams.stream import build_stream, resolve_step_config
from tests.conftest import REPO
from tests.test_paper_scale import Losses, student

BOXES = ('gfl_stream/finetune', 'gfl_stream/joint', 'erd/erd', 'erd/lwf')
# Fine-tuning's first step is IUF's: test_anomaly_configs.py.
PRODUCTS = ('iuf/iuf', 'uniad/uniad', 'coreset/coreset')
PARTS = (
    *('resnet50-caffe', 'efficientnet-lite0', 'luna', 'luna_legacy-april'),
    'luna_distilled',
)


def trained(runner: Runner, *, learns: bool = True) -> None:
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    assert len(losses.rows) == 2
    for row in losses.rows:
        assert bool(row) is learns
        assert all(torch.isfinite(torch.tensor(value)) for value in row.values())


@pytest.mark.slow
@pytest.mark.parametrize('preset', [*BOXES, 'sd_idd/sd-idd'])
def test_smoke_boxes(preset: str, tmp_path: Path, toy_neu_det: Path) -> None:
    """Step 1 beside an untrained teacher."""
    path = REPO / f'configs/{preset}_r50-caffe_fpn_cpu_neu-det_3+3.py'
    cfg = student(path, toy_neu_det, tmp_path / 'work')
    cfg.train_dataloader.batch_size = 2
    runner = Runner.from_cfg(cfg)
    assert (preset in BOXES[:2]) is not isinstance(runner.model, IncrementalDetector)
    assert runner.model.backbone.style == 'caffe'
    trained(runner)


@pytest.mark.slow
@pytest.mark.parametrize('encoder', ['resnet50-caffe', 'dinov2-small'])
@pytest.mark.parametrize('preset', PRODUCTS)
def test_smoke_products(
    preset: str, encoder: str, tmp_path: Path, toy_products: Path
) -> None:
    path = REPO / f'configs/{preset}_{encoder}_cpu_products_3-1x2.py'
    toys = [['cloth', 'dots', 'marble']]
    data = {'data_root': f'{toy_products}/', 'metainfo.classes': tuple(toys[0])}
    options = {
        f'{split}_dataloader.dataset.{key}': value
        for split in ('train', 'test')
        for key, value in data.items()
    }
    options |= {
        'stream.protocol': toys,
        'stream.base.train_cfg.max_epochs': 1,
        'model.backbone.init_cfg': None,
        'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.indices': 4,
        'default_hooks.feature_cache': None,
    }
    cfg = load_config(path, cfg_options=options, work_dir=str(tmp_path))
    step = resolve_step_config(cfg, 0, build_stream(cfg))
    step.work_dir = str(tmp_path)
    step.train_cfg.max_epochs = 1
    if encoder == 'resnet50-caffe':  # the other one's positions are of 224 px
        step.train_dataloader.dataset.pipeline[1].scale = (64, 64)
    for key in ('test_cfg', 'test_dataloader', 'test_evaluator'):
        step[key] = None
    trained(build_runner(step), learns=preset != 'coreset/coreset')


@pytest.fixture(scope='module')
def castings(tmp_path_factory) -> Path:
    from mmdefect.testing import make_toy_casting

    root = tmp_path_factory.mktemp('toy') / 'casting'
    return make_toy_casting(root, parts=4, copies=3, size=64)


@pytest.mark.slow
@pytest.mark.parametrize('name', PARTS)
def test_smoke_parts(name: str, tmp_path: Path, castings: Path) -> None:
    options = {
        f'{split}_dataloader.{key}': value
        for split in ('train', 'val', 'test')
        for key, value in {
            'batch_size': 2,
            'num_workers': 0,
            'dataset.data_root': str(castings),
            'dataset.protocol': 'legacy',
        }.items()
    }
    options |= {'train_cfg.max_epochs': 1, 'param_scheduler': []}
    options |= {'train_dataloader.dataset.indices': 4}
    if not name.startswith('luna'):
        options['model.backbone.init_cfg'] = None
    cfg = load_config(
        REPO / f'configs/casting/{name}_casting.py',
        cfg_options=options,
        work_dir=str(tmp_path / 'work'),
    )
    if name == 'luna_distilled':
        teacher = build_runner(
            load_config(
                REPO / 'configs/casting/mobilenet-v2_casting.py',
                cfg_options={**options, 'model.backbone.init_cfg': None},
                work_dir=str(tmp_path / 'teacher'),
            )
        ).model
        torch.save({'state_dict': teacher.state_dict()}, tmp_path / 'teacher.pth')
        cfg.model.teacher_checkpoint = str(tmp_path / 'teacher.pth')
    for key in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        cfg[key] = None
    for transform in cfg.train_dataloader.dataset.pipeline:
        if transform.type == 'Resize' and not name.startswith('luna'):
            transform.scale = (64, 64)
    for key in ('early_stopping', 'calibration'):
        cfg.default_hooks.pop(key, None)
    cfg.default_hooks.checkpoint.pop('save_best', None)
    trained(build_runner(cfg))
