"""A detector's training up to its first iteration: ours, or stock mmdet's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

# Nothing of ours is imported here, or the stock side would pay for it.
CLASSES = tuple(f'kind {number}' for number in range(6))


class EndHook(Hook):
    """Ends the process after an iteration: what follows is no start."""

    def after_train_iter(self, *args: Any, **kwargs: Any) -> None:
        """Leave at once."""
        os._exit(0)


def start(kind: str, config: str, folder: str) -> None:
    """Train for an iteration by a config of ours, ``'ours'`` or as ``'stock'``.

    Args:
        kind: Whose datasets, metric, hooks and runner.
        config: Of a GFL on MobileNetV2.
        folder: With ``train.json``, ``test.json`` and images.
    """
    cfg = Config.fromfile(config) if kind == 'stock' else None
    if cfg is None:
        from mmdefect.apis import load_config

        cfg = load_config(Path(config))
    _use(cfg, folder)
    if kind == 'stock':
        runner = Runner.from_cfg(_stock(cfg))
    else:
        from mmdefect.apis import build_runner

        runner = build_runner(cfg)
    runner.register_hook(EndHook())
    runner.train()


def _use(cfg: Config, folder: str) -> None:
    """Read drawn images and no pretrained weights."""
    cfg.work_dir = f'{folder}/work'
    cfg.model.backbone.init_cfg = None
    cfg.model.bbox_head.num_classes = 6
    for split, name in (('train', 'train'), ('val', 'test'), ('test', 'test')):
        dataset = cfg[f'{split}_dataloader'].dataset
        dataset.update(
            type='mmdefect.DefectDetDataset',
            data_root=f'{folder}/',
            ann_file=f'{name}.json',
            metainfo={'classes': CLASSES},
        )
        if split != 'train':
            cfg[f'{split}_evaluator'].ann_file = f'{folder}/{name}.json'


def _stock(cfg: Config) -> Config:
    """The same network, schedule and images by mmdet's own types."""
    cfg.pop('custom_imports', None)
    cfg.custom_hooks = []
    cfg.default_hooks.checkpoint = {'type': 'CheckpointHook', 'interval': 1}
    cfg.optim_wrapper.optimizer.type = 'AdamW'
    cfg.model.type = 'mmdet.GFL'
    cfg.model.backbone.type = 'mmdet.MobileNetV2'
    cfg.model.bbox_head.type = 'mmdet.GFLHead'
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.pop('worker_init_fn', None)
        loader.dataset.pop('cache_gb', None)
        loader.dataset.type = 'mmdet.CocoDataset'
        if split != 'train':
            cfg[f'{split}_evaluator'].type = 'mmdet.CocoMetric'
    return cfg
