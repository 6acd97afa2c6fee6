"""Five SGD iterations of each config on fixed batches; run by torchrun or alone.

Writes ``<out>/<name>/rank<r>.pth`` for ``name=config``: every loss of every iteration,
and the final parameters.

In double precision: a threshold (which locations are distilled, which are positive)
turns rounding into another selection, and ranks sum in another order than one process.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

import mmdefect  # noqa: F401
from mmdefect.apis import build_runner, finish, load_config


class Disturb(Hook):
    """Move a student away from its teacher: at equal weights there is no distance."""

    priority = 'LOWEST'

    def before_train(self, runner):
        model = getattr(runner.model, 'module', runner.model)
        if getattr(model, 'teacher', None) is not None:
            generator = torch.Generator().manual_seed(0)
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.data += 0.1 * parameter.data.abs().mean() * noise


class RecordLosses(Hook):
    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.rows.append({k: float(v) for k, v in outputs.items() if 'loss' in k})


def main(config: str, root: str, out: str, launcher: str, batch: int) -> None:
    cfg = load_config(config, work_dir=f'{out}/work', launcher=launcher)
    cfg.env_cfg.dist_cfg.backend = 'gloo'
    for key in ('runner_type', 'stream', 'val_cfg', 'val_dataloader', 'val_evaluator'):
        cfg.pop(key, None)
    for key in ('test_cfg', 'test_dataloader', 'test_evaluator'):
        cfg.pop(key, None)
    loader = cfg.train_dataloader
    loader.batch_size, loader.sampler.shuffle = batch, False
    loader.pop('batch_sampler')
    loader.dataset.data_root, loader.dataset.indices = f'{root}/', 20
    loader.dataset.pipeline = [
        step for step in loader.dataset.pipeline if step.type != 'RandomFlip'
    ]
    cfg.model.backbone.norm_eval = True
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9)
    )
    cfg.param_scheduler = None
    cfg.train_cfg.max_epochs = 1
    runner: Runner = build_runner(cfg)
    record = RecordLosses()
    runner.register_hook(Disturb())
    runner.register_hook(record)
    runner.train()
    model = getattr(runner.model, 'module', runner.model)
    saved = {'losses': record.rows, 'state_dict': model.state_dict()}
    torch.save(saved, Path(out) / f'rank{get_rank()}.pth')


if __name__ == '__main__':
    torch.set_default_dtype(torch.float64)
    root, out, launcher, batch, *configs = sys.argv[1:]
    for entry in configs:
        name, _, config = entry.partition('=')
        main(config, root, f'{out}/{name}', launcher, int(batch))
    finish()
