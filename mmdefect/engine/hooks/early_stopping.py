"""Early stopping that a killed training takes up where it was."""

from __future__ import annotations

from mmengine.hooks import EarlyStoppingHook
from mmengine.runner import Runner

from mmdefect.registry import HOOKS

_KEY = 'early_stopping'


@HOOKS.register_module()
class ResumableEarlyStoppingHook(EarlyStoppingHook):
    """MMEngine's :class:`EarlyStoppingHook` whose patience survives ``--resume``.

    MMEngine forgets how long it has waited, so a resumed training waits anew. Here the
    count and the best score are in the message hub, which a checkpoint holds and only a
    resumed training reads (not ``load_from``). A checkpoint of an epoch is written
    before its validation, so a training that had stopped and is resumed trains one
    epoch more, and stops unless that one is better.

    Args:
        kwargs: As for MMEngine's.
    """

    # Before the checkpoint is written again with a new best score.
    priority = 'LOW'

    def before_train(self, runner: Runner) -> None:
        """Take up what the checkpoint holds; resuming comes before this."""
        known = runner.message_hub.runtime_info.get(_KEY)
        if known is not None:
            self.wait_count, self.best_score = known

    def after_val_epoch(
        self, runner: Runner, metrics: dict[str, float] | None = None
    ) -> None:
        """Decide whether to stop, and remember."""
        super().after_val_epoch(runner, metrics)
        state = (int(self.wait_count), float(self.best_score))
        runner.message_hub.update_info(_KEY, state)
