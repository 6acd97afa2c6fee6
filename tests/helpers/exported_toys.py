"""Toy networks of all tasks with random weights that matter, as a training leaves them.

Of each: a config with a test pipeline, and a checkpoint with the names of the classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope

from mmdefect.apis import load_config
from mmdefect.utils.config import described_model
from tests.helpers.configs import HALF_PLAN, ROOT
from tests.helpers.networks import stir

Toy = tuple[Config, Path]


def pictures(number: int, size: tuple[int, int], seed: int = 0) -> list[np.ndarray]:
    """Smooth ones, ``(H, W, 3)``, BGR, uint8; ``size`` is width and height."""
    import cv2

    random = np.random.default_rng(seed)
    return [
        cv2.resize(random.integers(0, 256, (6, 6, 3), np.uint8), size)
        for _ in range(number)
    ]


def saved(cfg: Config, folder: Path, classes: tuple[str, ...], **meta: Any) -> Toy:
    """Draw the weights of a config's model, and save them as a training does."""
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        model: Any = MODELS.build(described_model(cfg))
    stir(model)
    if hasattr(model, 'bbox_head'):  # boxes that differ, and not everywhere
        torch.nn.init.normal_(model.bbox_head.gfl_cls.weight, std=0.15)
        torch.nn.init.constant_(model.bbox_head.gfl_cls.bias, -3.0)
        torch.nn.init.normal_(model.bbox_head.gfl_reg.weight, std=0.02)
    if hasattr(model, 'filled'):
        torch.nn.init.normal_(model.memory)
        model.filled[:] = torch.arange(len(model.filled)) * 3 + 5
    path = folder / 'weights.pth'
    note = {'dataset_meta': {'classes': list(classes)}, **meta}
    torch.save({'state_dict': model.state_dict(), 'meta': note}, path)
    return cfg, path


def classifier(folder: Path, *, flat: bool = False, **head: Any) -> Toy:
    """LUNA of a few channels, for 40 x 32 pixels; ``flat`` resizes nothing."""
    steps = [{'type': 'LoadImageFromFile'}, {'type': 'PackInputs'}]
    neck = {'type': 'mmdefect.FlattenNeck' if flat else 'GlobalAveragePooling'}
    if not flat:
        steps.insert(1, {'type': 'Resize', 'scale': (40, 32)})
    settings = {'type': 'mmdefect.DefectClsHead', 'in_channels': 4 * 8 * 10, **head}
    if not flat:
        settings['in_channels'] = 4
    cfg = Config(
        {
            'default_scope': 'mmpretrain',
            'model': {
                'type': 'ImageClassifier',
                'backbone': {
                    'type': 'mmdefect.LunaNet',
                    'base_channels': 2,
                    'num_blocks': 2,
                },
                'neck': neck,
                'head': settings,
            },
            'data_preprocessor': {
                'mean': [120.0, 110.5, 100.25],
                'std': [50.0, 60.0, 70.0],
                'to_rgb': True,
            },
            'test_dataloader': {
                'dataset': {'type': 'CustomDataset', 'pipeline': steps}
            },
        }
    )
    return saved(cfg, folder, ('broken', 'ok'))


def detector(folder: Path, *, competing: bool = False) -> Toy:
    """The toy GFL, images up to 96 pixels with their ratio kept.

    ``competing``: learned in three steps that compete and suppress each other.
    """
    cfg = load_config(ROOT / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py')
    cfg.test_dataloader.dataset.data_root = 'no/such/folder/'
    # On images of noise many boxes lie at the limits: fewer, clearer ones.
    cfg.model.test_cfg.score_thr = 0.05
    if competing:
        cfg.model.bbox_head.update(
            type='mmdefect.IncrementalGFLHead', num_old_classes=4, step_sizes=[2, 2, 2]
        )
        cfg.model.test_cfg.update(
            competition=dict(power=1.0), suppress_across=dict(iou=0.7)
        )
    classes = ('crazing', 'inclusion', 'patches', 'pitted', 'rolled', 'scratches')
    return saved(cfg, folder, classes)


def anomaly(folder: Path, name: str) -> Toy:
    """A toy model of maps: ``coreset``, ``iuf`` or ``uniad``."""
    cfg = load_config(ROOT / f'configs/{name}/{name}_toy_3-1x2.py')
    cfg.pop('stream')
    cfg.model.num_classes = 3
    cfg.test_dataloader.dataset.data_root = 'no/such/folder/'
    return saved(cfg, folder, ('cloth', 'marble', 'wood'))


def pruned(folder: Path) -> Toy:
    """A ResNet of a few channels whose first block has lost half of its filters."""
    cfg = load_config(ROOT / 'configs/ftl/resnet18-w16_toy_cracks.py')
    backbone = cfg.model.backbone
    kind = {'type': 'mmdefect.PrunedBackbone', 'backbone': backbone, 'plan': HALF_PLAN}
    cfg.model.backbone = ConfigDict(kind)
    for loader in ('train', 'test'):
        cfg[f'{loader}_dataloader'].dataset.data_root = 'no/such/folder/'
    return saved(cfg, folder, ('crack', 'background'))
