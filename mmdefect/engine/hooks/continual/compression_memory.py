"""Keeps what a loss has seen lately, for a run that is killed and resumed."""

from __future__ import annotations

from typing import Any

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmdefect.registry import HOOKS
from mmdefect.utils.modules import unwrapped

KEY = 'compression_rows'


@HOOKS.register_module()
class CompressionMemoryHook(Hook):
    """Puts the rows of the semantic compression loss into checkpoints within a step.

    They are no part of the model (a finished step needs them no more), but a resumed
    run without them would go another way than one that was never killed. Each process
    has its own; resumed with another number of processes, all start without.
    """

    priority = 'NORMAL'

    def __init__(self) -> None:
        self._resumed: list[Tensor] | None = None
        self._rows: list[Tensor] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep them, should this be a resumed run."""
        self._resumed = checkpoint.get(KEY)

    def before_train(self, runner: Runner) -> None:
        """Give them back."""
        loss: Any = getattr(unwrapped(runner), 'compression', None)
        resumed, self._resumed = self._resumed or [], None
        if loss is not None and runner.iter and len(resumed) == get_world_size():
            loss.rows = resumed[get_rank()]

    def after_train_epoch(self, runner: Runner) -> None:
        """Bring those of all ranks together; rank 0 saves alone."""
        loss: Any = getattr(unwrapped(runner), 'compression', None)
        if loss is not None:
            self._rows = all_gather_object(loss.rows.cpu())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add them, unless the step is over."""
        if self._rows and not self.is_last_train_epoch(runner):
            checkpoint[KEY] = self._rows
