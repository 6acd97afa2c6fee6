"""Train on four points of which one is no number; run by torchrun.

Each rank writes ``<out>/rank<r>.txt``: what its training raised.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmdefect.engine.guards import guarded
from mmdefect.utils.distributed import leave_process_group, prepare_distributed


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


def errors_of_two_processes(out: Path) -> list[str]:
    """Start this file on two ranks; return what each of them raised."""
    from tests.helpers.ranks import run_ranks

    run_ranks(__file__, out)
    return [(out / f'rank{rank}.txt').read_text(encoding='utf-8') for rank in (0, 1)]


def main() -> None:
    out = Path(sys.argv[1])
    cfg = Config({'launcher': 'pytorch'})
    prepare_distributed(cfg)
    runner = guarded(
        Runner(
            model=Line(),
            work_dir=str(out),
            train_dataloader={
                'batch_size': 2,
                'num_workers': 0,
                # Rank 0 gets 0 and 2, rank 1 gets 1 and 3.
                'sampler': {'type': 'DefaultSampler', 'shuffle': False},
                'dataset': Points(),
            },
            train_cfg={'by_epoch': True, 'max_epochs': 2},
            optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}},
            default_hooks={'checkpoint': {'type': 'mmdefect.SafeCheckpointHook'}},
            launcher='pytorch',
            cfg={'model_wrapper_cfg': cfg.model_wrapper_cfg},
            default_scope=None,
            log_level='WARNING',
            experiment_name='finite',
        )
    )
    try:
        runner.train()
        raised = 'nothing'
    except ValueError as error:
        raised = str(error)
    (out / f'rank{get_rank()}.txt').write_text(raised, encoding='utf-8')
    leave_process_group()


if __name__ == '__main__':
    main()
