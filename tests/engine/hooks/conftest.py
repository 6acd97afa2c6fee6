"""A runner that trains a line through points in milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset


class Line(BaseModel):
    """Four numbers to one; the loss is the squared output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: list[Tensor], mode: str = 'tensor') -> dict[str, Tensor]:
        return {'loss': self.layer(torch.stack(x)).square().mean()}


class Points(Dataset):
    metainfo: ClassVar = {'classes': ('crazing', 'patches')}

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {'x': torch.full((4,), float(index))}


def loader(batch_size: int, *, shuffle: bool = False) -> dict[str, Any]:
    """Of the four points."""
    return {
        'batch_size': batch_size,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': shuffle},
        'dataset': Points(),
    }


@pytest.fixture
def make_runner(tmp_path: Path) -> Callable[..., Runner]:
    """Build a runner of two iterations an epoch with the given checkpoint hook."""
    made: list[str] = []

    def make(
        *,
        epochs: int,
        checkpoint: dict,
        model: BaseModel | None = None,
        **more: Any,
    ) -> Runner:
        # MMEngine tells runs apart by name, and by the second without one.
        name = f'{tmp_path.name}_{len(made)}'
        settings = {
            'work_dir': str(tmp_path / 'work'),
            'train_dataloader': loader(2, shuffle=True),
            'train_cfg': {'by_epoch': True, 'max_epochs': epochs},
            'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.01}},
            'default_hooks': {'checkpoint': checkpoint},
            'default_scope': None,
            'log_level': 'WARNING',
            'experiment_name': name,
            'visualizer': {'type': 'Visualizer', 'name': name},
            **more,
        }
        made.append(name)
        return Runner(model=model or Line(), **settings)

    return make
