"""Early stopping that a killed training takes up where it was."""

from __future__ import annotations

import math
from typing import Any

from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import Runner

from mmdefect.engine.selection import validation_loss
from mmdefect.registry import HOOKS

_KEY = 'early_stopping'


@HOOKS.register_module()
class ResumableEarlyStoppingHook(EarlyStoppingHook):
    """MMEngine's :class:`EarlyStoppingHook` whose patience survives ``--resume``.

    MMEngine forgets how long it has waited, so a resumed training waits anew. Here the
    count and the best are in the message hub, which a checkpoint holds and only a
    resumed training reads (not ``load_from``). A checkpoint of an epoch is written
    before its validation; a training that is resumed after it validates it first
    (:class:`mmdefect.engine.hooks.resumed_validation.CatchUpHook`), and one that had
    stopped stops again.

    An epoch that ties with the best one is better if its validation loss (``nll``) is
    lower, by more than ``min_delta``. MMEngine with ``min_delta=0`` takes every tie for
    an improvement and never stops once the best possible score is reached.

    Args:
        kwargs: As for MMEngine's.
    """

    # Before the checkpoint is written again with a new best score.
    priority = 'LOW'
    min_delta: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loss = self.best_loss = math.inf

    def before_train(self, runner: Runner) -> None:
        """Take up what the checkpoint holds; resuming comes before this."""
        known = runner.message_hub.runtime_info.get(_KEY)
        if known is not None:  # checkpoints of earlier releases hold two numbers
            self.wait_count, self.best_score, *loss = known
            self.best_loss = loss[0] if loss else math.inf

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Decide whether to stop, and remember."""
        self._loss = validation_loss(metrics or {})
        super().after_val_epoch(runner, metrics)
        if self.wait_count == 0:
            self.best_loss = self._loss
        state = (int(self.wait_count), float(self.best_score), float(self.best_loss))
        runner.message_hub.update_info(_KEY, state)

    def _check_stop_condition(self, current_score: float) -> tuple[bool, str]:
        asked = self.min_delta
        if current_score == self.best_score and math.isfinite(self.best_loss):
            better = self._loss + abs(asked) < self.best_loss
            # What MMEngine compares with: 1 below the tied score, or 1 above it.
            self.min_delta = -1 if better == (self.rule == 'greater') else 1
        try:
            return super()._check_stop_condition(current_score)
        finally:
            self.min_delta = asked
