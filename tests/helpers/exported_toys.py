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
from mmdefect.structures import AnomalySample
from mmdefect.utils.config import described_model
from tests.helpers.configs import HALF_PLAN, ROOT
from tests.helpers.networks import stir

Toy = tuple[Config, Path]
PRODUCTS = ('cloth', 'marble', 'wood')


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
    if hasattr(model, 'banks'):
        _learn(model)
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
    return saved(cfg, folder, PRODUCTS)


def product_pictures(product: int, number: int) -> list[np.ndarray]:
    """Images of one product that differ a little, 48 pixels a side."""
    (base,) = pictures(1, (48, 48), seed=100 + product)
    random = np.random.default_rng(product)
    noise = random.integers(-12, 13, (number, *base.shape))
    return [*(base + noise).clip(0, 255).astype(np.uint8)]


def memory(folder: Path, **settings: Any) -> Toy:
    """A memory that has learned three products of ten images each."""
    backbone = dict(type='mmpretrain.ResNet', depth=18, out_indices=(0, 1))
    model = {
        'type': 'mmdefect.ProductMemory',
        'backbone': {**backbone, 'base_channels': 4, 'stem_channels': 4},
        'in_channels': 12,
        'num_classes': 3,
        'grid': 6,
        'per_class': 40,
        'candidates': 300,
        **settings,
    }
    steps = [
        dict(type='mmdefect.LoadAnomalyImage'),
        dict(type='Resize', scale=(48, 48), backend='pillow'),
        dict(type='mmdefect.LoadAnomalyMask'),
        dict(type='mmdefect.PackAnomalyInputs'),
    ]
    test = dict(type='mmdefect.AnomalyDataset', data_root='none', pipeline=steps)
    loader = {'test_dataloader': {'dataset': test}}
    cfg = Config({'default_scope': 'mmdefect', 'model': model, **loader})
    return saved(cfg, folder, PRODUCTS)


def _learn(model: Any) -> None:
    for label, name in enumerate(PRODUCTS):
        images = product_pictures(label, 10)
        inputs = [torch.from_numpy(image.transpose(2, 0, 1)) for image in images]
        about = {'class_name': name, 'class_label': label, 'img_shape': (48, 48)}
        samples = [
            AnomalySample(metainfo={**about, 'img_path': f'{name}/train/good/{k}.png'})
            for k in range(len(images))
        ]
        model.train_step({'inputs': inputs, 'data_samples': samples}, None)
    model.finish_step()


def pruned(folder: Path) -> Toy:
    """A ResNet of a few channels whose first block has lost half of its filters."""
    cfg = load_config(ROOT / 'configs/ftl/resnet18-w16_toy_cracks.py')
    backbone = cfg.model.backbone
    kind = {'type': 'mmdefect.PrunedBackbone', 'backbone': backbone, 'plan': HALF_PLAN}
    cfg.model.backbone = ConfigDict(kind)
    for loader in ('train', 'test'):
        cfg[f'{loader}_dataloader'].dataset.data_root = 'no/such/folder/'
    return saved(cfg, folder, ('crack', 'background'))
