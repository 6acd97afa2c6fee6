"""A tiny IUF on a backbone of two convolutions, its batches, runs of its steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from mmdefect.functional.class_rows import CONDITIONER_CLASS_KEYS
from mmdefect.models.anomaly.iuf import IUF
from mmdefect.registry import MODELS
from mmdefect.structures import AnomalySample

CHANNELS, GRID, WIDTH, SIZE = 10, 4, 16, 16
PRODUCTS = ('cloth', 'dots', 'metal')


class Taps(nn.Module):
    """Maps of 4 and 6 channels at strides 2 and 4."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)

    def forward(self, x):
        first = self.first(x).relu()
        return first, self.second(first).relu()


def tiny_iuf(num_classes: int = 2, *, seed: int = 0, **changes: Any) -> IUF:
    """An initialised model of 10 channels on a grid of 4 x 4."""
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        'backbone': Taps(),
        'in_channels': CHANNELS,
        'num_classes': num_classes,
        'transformer': {
            'grid': GRID,
            'width': WIDTH,
            'depth': 2,
            'heads': 2,
            'ffn': 24,
        },
        'conditioner': {'heads': 2},
    }
    transformer = {**settings['transformer'], **changes.pop('transformer', {})}
    model = IUF(**{**settings, **changes, 'transformer': transformer})
    model.init_weights()
    return model


def tiny_backbone_cfg() -> dict[str, Any]:
    """mmpretrain's smallest ResNet."""
    return {
        'type': 'mmpretrain.ResNet',
        'depth': 18,
        'base_channels': 4,
        'stem_channels': 4,
        'out_indices': (0, 1),
    }


@pytest.fixture(scope='session')
def b4():
    """EfficientNet-b4 of mmpretrain as the configs have it, without its file."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdefect'):
        return ROOT.build(
            {
                'type': 'mmpretrain.EfficientNet',
                'arch': 'b4',
                'out_indices': (1, 2, 3, 4),
            }
        )


def build(cfg: dict[str, Any], scope: str | None = 'mmdefect') -> Any:
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(cfg)


def item(index: int, label: int, *, size: int = SIZE, name: str = '') -> dict[str, Any]:
    """An item of a dataset; the product decides on the colour."""
    generator = torch.Generator().manual_seed(index)
    image = torch.randint(0, 128, (3, size, size), generator=generator)
    image[label % 3] += 100
    sample = AnomalySample(
        metainfo={
            'img_path': f'{index}.png',
            'class_name': name or PRODUCTS[label],
            'class_label': label,
            'defect': 'good',
            'ori_shape': (size, size),
            'img_shape': (size, size),
        }
    )
    sample.gt_label = torch.tensor(0)
    return {'inputs': image.to(torch.uint8), 'data_samples': sample}


def batch(labels=(0, 1, 1, 0), *, size: int = SIZE, start: int = 0) -> dict[str, list]:
    """What a loader gives."""
    items = [item(start + k, label, size=size) for k, label in enumerate(labels)]
    return {
        'inputs': [found['inputs'] for found in items],
        'data_samples': [found['data_samples'] for found in items],
    }


def prepared(model: Any, **kwargs: Any) -> dict[str, Any]:
    """What a model takes."""
    return model.data_preprocessor(batch(**kwargs), False)


class Images(Dataset):
    """Images of some products in memory, each in its place.

    Args:
        classes: Products seen so far.
        keep: Those whose images are there.
        number: Images of each.
    """

    def __init__(self, classes, keep=None, number: int = 4) -> None:
        self.metainfo = {'classes': tuple(classes)}
        names = [name for name in keep or classes for _ in range(number)]
        self.items = [
            item(100 * PRODUCTS.index(name) + k, list(classes).index(name), name=name)
            for k, name in enumerate(names)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        found = self.items[index]
        return {**found, 'data_samples': found['data_samples'].clone()}


def make_runner(
    work_dir: Path,
    model: nn.Module,
    dataset: Dataset,
    hooks: list,
    *,
    epochs: int = 1,
    optimizer: dict | None = None,
    clip: float | None = None,
    batch_size: int = 4,
    resume: bool = False,
    **changes: Any,
) -> Runner:
    """A runner that saves every epoch."""
    wrapper: dict[str, Any] = {'optimizer': optimizer or {'type': 'SGD', 'lr': 0.01}}
    if clip is not None:
        wrapper['clip_grad'] = {'max_norm': clip}
    name = f'{work_dir.parent.name}_{work_dir.name}_{torch.randint(10**9, ()).item()}'
    loader = {
        'batch_size': batch_size,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': True},
        'dataset': dataset,
    }
    settings: dict[str, Any] = {
        'train_dataloader': loader,
        'train_cfg': {'by_epoch': True, 'max_epochs': epochs},
        'optim_wrapper': wrapper,
    }
    return Runner(
        model=model,
        work_dir=str(work_dir),
        default_hooks={
            'checkpoint': {'type': 'mmdefect.SafeCheckpointHook', 'interval': 1}
        },
        custom_hooks=[{'type': 'mmdefect.EpochSeedHook'}, *hooks],
        default_scope='mmdefect',
        resume=resume,
        log_level='ERROR',
        randomness={'seed': 0},
        # MMEngine tells runs apart by name.
        experiment_name=name,
        visualizer={'type': 'Visualizer', 'name': name},
        **{**settings, **changes},
    )


def chain_hook(checkpoint: Path, classes, **changes: Any) -> dict[str, Any]:
    return {
        'type': 'mmdefect.ChainCheckpointHook',
        'checkpoint': str(checkpoint),
        'classes': list(classes),
        'class_keys': CONDITIONER_CLASS_KEYS,
        **changes,
    }


COLLECTING = ('mmdefect.FeatureStatisticsHook', 'mmdefect.WeightImportanceHook')


def train_base(work_dir: Path, *, epochs: int = 1, **changes: Any) -> Path:
    """Train two products, collect what later steps may need, return the checkpoint."""
    runner = make_runner(
        work_dir,
        tiny_iuf(2),
        Images(PRODUCTS[:2]),
        [{'type': kind} for kind in COLLECTING],
        epochs=epochs,
        **changes,
    )
    runner.train()
    return work_dir / f'epoch_{epochs}.pth'
