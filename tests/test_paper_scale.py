"""The ResNet-50 presets train: two iterations, small toy images, random weights.

Networks of the papers' size: slow.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from mmdefect.apis import load_config
from mmdefect.streams.stream import build_stream, resolve_step_config
from tests.conftest import REPO, load_tool

# Each method and each dataset once.
PRESETS = {'sd_idd/sd-idd': 'neu-det', 'erd/erd': 'deeppcb'}


class Losses(Hook):
    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.rows.append({k: float(v) for k, v in outputs.items() if 'loss' in k})


@pytest.fixture(scope='module')
def toy_deeppcb(tmp_path_factory) -> Path:
    from mmdefect.testing import make_toy_deeppcb

    root = tmp_path_factory.mktemp('toy') / 'DeepPCB'
    make_toy_deeppcb(root, seed=0, train=6, test=4, size=128)
    assert not load_tool('tools/dataset_converters/deeppcb.py').main([str(root)])
    return root


def student(path: Path, root: Path, work_dir: Path):
    """Step 1 of a preset, its images 64 px, its teacher an untrained detector."""
    options = {'model.backbone.init_cfg': None}  # else from the network
    cfg = load_config(path, cfg_options=options, work_dir=str(work_dir))
    stream = build_stream(cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        teacher = MODELS.build(resolve_step_config(cfg, 0, stream).model)
    work_dir.mkdir()
    classes = {'dataset_meta': {'classes': tuple(stream.seen_classes(0))}}
    torch.save(
        {'state_dict': teacher.state_dict(), 'meta': classes}, work_dir / 'teacher.pth'
    )
    step = resolve_step_config(cfg, 1, stream)
    if stream.starts_from_previous(1):
        stream.chain(step, 1, str(work_dir / 'teacher.pth'))
    loader = step.train_dataloader
    loader.num_workers = 0
    loader.dataset.update(data_root=f'{root}/', indices=4)
    next(t for t in loader.dataset.pipeline if t.type == 'Resize').scale = (64, 64)
    for key in ('test_cfg', 'test_dataloader', 'test_evaluator', 'val_cfg'):
        step[key] = None
    step.train_cfg.max_epochs = 1
    step.default_hooks.checkpoint.interval = -1
    step.work_dir = str(work_dir)
    return step


@pytest.mark.slow
@pytest.mark.parametrize(('preset', 'data'), PRESETS.items())
def test_smoke_two_iterations(preset, data, tmp_path, request):
    root = request.getfixturevalue(f'toy_{data.replace("-", "_")}')
    path = REPO / f'configs/{preset}_r50_fpn_2x_{data}_3+3.py'
    runner = Runner.from_cfg(student(path, root, tmp_path / 'work'))
    losses = Losses()
    runner.register_hook(losses)
    runner.train()
    assert len(losses.rows) == 2
    assert runner.model.teacher is not None
    for row in losses.rows:
        assert {'loss_cls', 'loss_bbox', 'loss_dfl', 'loss_dist_cls'} <= row.keys()
        assert all(torch.isfinite(torch.tensor(value)) for value in row.values())
