"""Catch up on a validation that a kill has cut short."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

_KEY = 'validated_epoch'


class ResumedValidationHook(Hook):
    """Validates the epoch that a training is resumed after, if nobody has.

    A checkpoint is written before its epoch is validated, and MMEngine goes on with the
    next one: an epoch whose validation was cut short could never become the best, and
    early stopping would not count it. Here the message hub, which checkpoints hold,
    knows which epoch was validated last.

    tools/train.py adds this hook.
    """

    # Noted before a checkpoint that holds a new best is written, see `after_val_epoch`.
    priority = 'LOW'

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Note it."""
        runner.message_hub.update_info(_KEY, runner.epoch)


class CatchUpHook(Hook):
    """The other half of :class:`ResumedValidationHook`, when all hooks are ready."""

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Validate."""
        loop: Any = runner.train_loop
        resumed = runner._resume and isinstance(loop, EpochBasedTrainLoop)
        if not resumed or runner.val_loop is None:
            return
        epoch = loop.epoch
        if runner.message_hub.runtime_info.get(_KEY) == epoch:
            return
        loop._decide_current_val_interval()
        last = epoch == loop.max_epochs
        if epoch >= max(loop.val_begin, 1) and (last or not epoch % loop.val_interval):
            runner.logger.info(f'epoch {epoch} is validated, which was cut short')
            runner.val_loop.run()
