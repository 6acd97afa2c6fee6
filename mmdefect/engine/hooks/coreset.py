"""Ends the only epoch of a memory of patches."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.hooks.continual.previous import refuse_iterations
from mmdefect.registry import HOOKS
from mmdefect.utils.modules import unwrapped


@HOOKS.register_module()
class CoresetHook(Hook):
    """Fills the memory of a model that trains nothing.

    That is ``mmdefect.IncrementalCoreset`` or ``mmdefect.ProductMemory``: a model whose
    ``train_step`` looks and whose ``finish_step`` chooses what is kept.

    Raises:
        ValueError: Before training, if there is more than one epoch: the same patches
            would only be seen again.
    """

    # Before the checkpoint is written.
    priority = 'NORMAL'

    def before_train(self, runner: Runner) -> None:
        """Refuse more than one epoch."""
        refuse_iterations(runner, self)
        if runner.max_epochs != 1:
            raise ValueError(
                f'train_cfg.max_epochs={runner.max_epochs} of a memory of patches: '
                'expected 1, it learns nothing from a second look; set it'
            )

    def after_train_epoch(self, runner: Runner) -> None:
        """Choose what is kept."""
        model: Any = unwrapped(runner)
        model.finish_step()
