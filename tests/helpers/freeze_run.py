"""Three iterations of a half frozen classifier; run by torchrun.

Writes ``<out>/rank<r>.pth``: the weights before and after, and the sum of the images.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from frozen_classifier import SGD, Classifier, Images
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.parallel import DistributedDataParallel

import mmdefect  # noqa: F401
from mmdefect.engine.hooks.freeze import FreezeStrategyHook
from mmdefect.utils.distributed import leave_process_group, prepare_distributed


class Watch(Hook):
    def __init__(self) -> None:
        self.seen = 0.0

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.seen += float(torch.stack(data_batch['x']).sum())


def main(out: str) -> None:
    cfg = Config({'launcher': 'pytorch'})
    prepare_distributed(cfg)
    torch.manual_seed(0)
    watch = Watch()
    runner = Runner(
        model=Classifier(),
        work_dir=f'{out}/work',
        train_dataloader={
            'batch_size': 1,
            'num_workers': 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': Images(),
        },
        train_cfg={'by_epoch': True, 'max_epochs': 1},
        optim_wrapper={'optimizer': SGD},
        default_hooks={'checkpoint': None},
        custom_hooks=[FreezeStrategyHook(mode='fraction', fraction=0.5), watch],
        default_scope=None,
        launcher='pytorch',
        cfg={'model_wrapper_cfg': cfg.model_wrapper_cfg},
    )
    before = {n: v.clone() for n, v in runner.model.module.state_dict().items()}
    runner.train()
    if not isinstance(runner.model, DistributedDataParallel):
        raise TypeError(type(runner.model))
    after = runner.model.module.state_dict()
    saved = {'before': before, 'after': after, 'seen': watch.seen}
    torch.save(saved, Path(out) / f'rank{get_rank()}.pth')


if __name__ == '__main__':
    main(sys.argv[1])
    leave_process_group()
