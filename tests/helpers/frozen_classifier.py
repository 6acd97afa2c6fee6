"""A classifier of two layers, half of which can be frozen, and eight images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

SGD = {'type': 'SGD', 'lr': 0.05, 'momentum': 0.9, 'weight_decay': 0.1}


class Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.norm1 = nn.BatchNorm2d(4)
        self.drop1 = nn.Dropout(0.5)
        self.conv2 = nn.Conv2d(4, 4, 3)
        self.norm2 = nn.BatchNorm2d(4)
        self.drop2 = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        x = self.drop1(self.norm1(self.conv1(x)))
        return (self.drop2(self.norm2(self.conv2(x))).mean((2, 3)),)


class Classifier(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Linear(4, 2)

    def forward(self, x: list[Tensor], mode: str = 'tensor'):
        logits = self.head(self.backbone(torch.stack(x))[-1])
        return {'loss': logits.square().mean()} if mode == 'loss' else [logits]


class Images(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {'x': torch.randn(3, 8, 8, generator=generator)}


def runner_maker(root: Path) -> Callable[..., Runner]:
    """Makes runners of two iterations an epoch, in folders below ``root``."""
    made = []

    def make(*hooks, model=None, folder='work', epochs=2, optimizer=SGD, **settings):
        torch.manual_seed(0)
        name = f'{root.name}_{len(made)}'
        loader = {
            'batch_size': 4,
            'num_workers': 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': Images(),
        }
        runner = Runner(
            model=model or Classifier(),
            work_dir=str(root / folder),
            train_dataloader=loader,
            train_cfg={'by_epoch': True, 'max_epochs': epochs},
            optim_wrapper={'optimizer': optimizer, **settings.pop('wrapper', {})},
            default_hooks={'checkpoint': {'type': 'CheckpointHook', 'interval': 1}},
            custom_hooks=list(hooks),
            default_scope=None,
            log_level='WARNING',
            experiment_name=name,
            visualizer={'type': 'Visualizer', 'name': name},
            **settings,
        )
        made.append(runner)
        return runner

    return make
