"""Train two toys on two ranks; run by torchrun.

A classifier of which half is frozen: each rank writes ``<out>/freeze<r>.pth``, the
weights before and after and the sum of its images. A line through four points of which
one is no number: ``<out>/loss<r>.txt``, what its training raised.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from frozen_classifier import SGD, Classifier, Images
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset

from mmdefect.engine.guards import guarded
from mmdefect.engine.hooks.freeze import FreezeStrategyHook
from mmdefect.utils.distributed import leave_process_group, prepare_distributed


class Watch(Hook):
    def __init__(self) -> None:
        self.seen = 0.0

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.seen += float(torch.stack(data_batch['x']).sum())


class Line(BaseModel):
    """Four numbers to one; the loss is the squared output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(
        self, x: list[Tensor], data_samples: Any, mode: str = 'tensor'
    ) -> dict[str, Tensor]:
        return {'loss_cls': self.layer(torch.stack(x)).square().mean()}


class Points(Dataset):
    """Four; the last has no number."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Any]:
        value = index if index < 3 else float('nan')
        sample = SimpleNamespace(img_path=f'{index}.png')
        return {'x': torch.full((4,), float(value)), 'data_samples': sample}


def runner_of(
    cfg: Config, model: BaseModel, work_dir: Path, data: Dataset, batch: int, **more
) -> Runner:
    return Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader={
            'batch_size': batch,
            'num_workers': 0,
            # Rank 0 gets 0, 2, ..., rank 1 gets 1, 3, ...
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': data,
        },
        train_cfg={'by_epoch': True, 'max_epochs': 1},
        default_scope=None,
        launcher='pytorch',
        cfg={'model_wrapper_cfg': cfg.model_wrapper_cfg},
        log_level='WARNING',
        experiment_name=work_dir.name,
        visualizer={'type': 'Visualizer', 'name': work_dir.name},
        **more,
    )


def freeze(cfg: Config, out: Path) -> None:
    """Three iterations, of which the second would fail without wrapping anew."""
    torch.manual_seed(0)
    watch = Watch()
    runner = runner_of(
        cfg,
        Classifier(),
        out / 'freeze',
        Images(),
        1,
        optim_wrapper={'optimizer': SGD},
        default_hooks={'checkpoint': None},
        custom_hooks=[FreezeStrategyHook(mode='fraction', fraction=0.5), watch],
    )
    before = {n: v.clone() for n, v in runner.model.module.state_dict().items()}
    runner.train()
    if not isinstance(runner.model, DistributedDataParallel):
        raise TypeError(type(runner.model))
    after = runner.model.module.state_dict()
    saved = {'before': before, 'after': after, 'seen': watch.seen}
    torch.save(saved, out / f'freeze{get_rank()}.pth')


def diverge(cfg: Config, out: Path) -> None:
    runner = runner_of(
        cfg,
        Line(),
        out / 'loss',
        Points(),
        2,
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}},
        default_hooks={'checkpoint': {'type': 'mmdefect.SafeCheckpointHook'}},
    )
    try:
        guarded(runner).train()
        raised = 'nothing'
    except ValueError as error:
        raised = str(error)
    (out / f'loss{get_rank()}.txt').write_text(raised, encoding='utf-8')


if __name__ == '__main__':
    config = Config({'launcher': 'pytorch'})
    prepare_distributed(config)
    for run in (freeze, diverge):
        run(config, Path(sys.argv[1]))
    leave_process_group()
