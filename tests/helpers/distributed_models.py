"""Two iterations of a config's model on drawn batches, as several processes train it.

Run by torchrun, it trains configs in turn: ``OUT CONFIG[@STEP] ...``.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

import mmdefect  # noqa: F401
from mmdefect.apis import load_config
from mmdefect.streams.stream import build_stream, resolve_step_config
from mmdefect.utils.distributed import leave_process_group, prepare_distributed

TEACHER = 'mmdefect.models.detection.incremental_detector.load_teacher'


def config_of(name: str) -> Config:
    """Ordinary config of ``CONFIG`` or of a step of a stream, ``CONFIG@STEP``."""
    path, _, step = name.partition('@')
    cfg = load_config(path)
    return resolve_step_config(cfg, int(step), build_stream(cfg)) if step else cfg


class Drawn(Dataset):
    """Four noisy images, packed as the config packs them; the last two show nothing."""

    def __init__(self, cfg: Config) -> None:
        pipeline = cfg.train_dataloader.dataset.pipeline
        scope = cfg.default_scope
        # What looks at any size looks at a small one; Swin's windows need the whole.
        averages = (cfg.model.get('neck') or {}).get('type') == 'GlobalAveragePooling'
        windows = cfg.model.backbone.type == 'SwinTransformer'
        small = scope == 'mmdet' or (averages and not windows)
        self.side = 64 if small else _side(pipeline)
        self.scope = scope
        self.classes = cfg.model.get('bbox_head', {}).get('num_classes', 1)
        with DefaultScope.overwrite_default_scope(scope):
            self.pack = TRANSFORMS.build(pipeline[-1])

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng(index)
        shape = (self.side, self.side)
        results: dict[str, Any] = {
            'img': rng.integers(0, 256, (*shape, 3)).astype(np.uint8),
            'img_path': f'{index}.png',
            'img_id': index,
            'img_shape': shape,
            'ori_shape': shape,
            'scale_factor': (1.0, 1.0),
            'gt_label': index % 2,
            'class_name': 'drawn',
            'class_label': 0,
            'defect': 'good',
        }
        if self.scope == 'mmdet':
            boxes = np.array([[4, 4, 40, 40], [20, 10, 60, 30]], np.float32)
            labels = np.array([self.classes - 1, self.classes - 1])
            shown = 2 if index < 2 else 0
            results['gt_bboxes'] = boxes[:shown]
            results['gt_bboxes_labels'] = labels[:shown]
            results['gt_ignore_flags'] = np.zeros(shown, bool)
        return self.pack(results)


def _side(pipeline: Sequence[dict[str, Any]]) -> int:
    scales = [step['scale'] for step in pipeline if step['type'] == 'Resize']
    return scales[-1][0] if scales else 112


def without_files(part: dict[str, Any]) -> None:
    """Take weights that are read from files out of a model config."""
    for key, value in list(part.items()):
        if key == 'init_cfg' and (value or {}).get('type') == 'Pretrained':
            part[key] = None
        elif isinstance(value, dict):
            without_files(value)


def collated(cfg: Config) -> Any:
    """How batches of a kind of config are put together."""
    from mmengine.dataset import default_collate, pseudo_collate

    return default_collate if cfg.default_scope == 'mmpretrain' else pseudo_collate


def runner_of(cfg: Config, work_dir: str | Path) -> Runner:
    """Runner of two iterations, in the process group that there is."""
    cfg = copy.deepcopy(cfg)
    without_files(cfg.model)
    if cfg.model.get('distill'):
        cfg.model.teacher = dict(checkpoint='drawn')
    cfg.launcher = 'pytorch'
    prepare_distributed(cfg)
    hooks = dict.fromkeys(('checkpoint', 'timer', 'logger', 'param_scheduler'))
    hooks['freeze'] = (cfg.get('default_hooks') or {}).get('freeze')
    found = {name: hook for name, hook in hooks.items() if hook or name != 'freeze'}
    return Runner(
        model=cfg.model,
        work_dir=str(work_dir),
        experiment_name=f'{Path(work_dir).parent.name}_{Path(work_dir).name}',
        train_dataloader=DataLoader(Drawn(cfg), batch_size=2, collate_fn=collated(cfg)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
        optim_wrapper=cfg.optim_wrapper,
        default_hooks=found,
        default_scope=cfg.default_scope,
        data_preprocessor=cfg.get('data_preprocessor'),
        launcher='pytorch',
        log_level='WARNING',
        cfg=dict(
            model_wrapper_cfg=cfg.model_wrapper_cfg,
            data_preprocessor=cfg.get('data_preprocessor'),
        ),
    )


def drawn_teacher(cfg: Config) -> Any:
    """Stands for reading a teacher's file: random weights with the old classes."""

    def load(checkpoint: str, *, num_classes: int, **_: Any) -> Any:
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            model = copy.deepcopy(cfg.model)
            without_files(model)
            state = MODELS.build(model).state_dict()
        for key in MODELS.get(cfg.model.type).class_keys:
            state[key] = state[key][:num_classes]
        return state, [f'class {k}' for k in range(num_classes)]

    return patch(TEACHER, load)


def train(cfg: Config, work_dir: str | Path) -> Runner:
    """Two iterations.

    Returns:
        The runner, with the trained model.
    """
    torch.manual_seed(0)
    with drawn_teacher(cfg):
        runner = runner_of(cfg, work_dir)
        runner.train()
    return runner


def main(out: str, names: Sequence[str]) -> None:
    for name in names:
        runner = train(config_of(name), Path(out) / 'work')
        state = getattr(runner.model, 'module', runner.model).state_dict()
        torch.save(state, Path(out) / f'{Path(name).stem}_{get_rank()}.pth')
        DefaultScope._instance_dict.clear()


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2:])
    leave_process_group()
