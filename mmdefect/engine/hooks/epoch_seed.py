"""Seed every epoch from (seed, step, epoch, rank)."""

from __future__ import annotations

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.randomness import derive_seed, seed_everything
from mmdefect.registry import HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Make each epoch's random numbers independent of what ran before it.

    Use with ``worker_init_fn=dict(type='mmdefect.seed_worker')`` and
    ``persistent_workers=False``; then a resumed run equals an uninterrupted one bit for
    bit on CPU, with any number of workers.

    Args:
        step: Step of the stream, so that steps do not repeat each other's numbers.
    """

    # Before any hook that draws random numbers.
    priority = 'VERY_HIGH'

    def __init__(self, *, step: int = 0) -> None:
        self.step = step

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed Python, NumPy and torch."""
        seed_everything(derive_seed(runner.seed, self.step, runner.epoch, get_rank()))
