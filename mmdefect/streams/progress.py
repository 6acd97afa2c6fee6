"""How long a stream will take, and how long a step took with its interruptions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

_KEY = 'elapsed_s'


class StepClock(Hook):
    """Measure the training of a step, and tell the log when the stream will end.

    Seconds that led to a checkpoint are in its meta, so a resumed step goes on counting
    there; what a kill threw away does not count. The stream gives it to the Runner: it
    is in no config.

    Args:
        later: Iterations of the steps after this one.
    """

    def __init__(self, *, later: int) -> None:
        self.later = later
        self._before = 0.0
        self._begin = time.monotonic()
        self._pace = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of training that are in the weights."""
        return self._before + time.monotonic() - self._begin

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take up the time of the training that is resumed."""
        self._before = float(checkpoint.get('meta', {}).get(_KEY, 0.0))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Note the time so far."""
        checkpoint['meta'][_KEY] = self.elapsed

    def before_train(self, runner: Runner) -> None:
        """Have log lines name the end of the stream, unless this step is the last."""
        if self.later:
            runner.log_processor = _WithStream(runner.log_processor, self)

    def remaining(self, eta: float, iterations: int) -> float:
        """Seconds to the end of all steps, at the pace of this one.

        Args:
            eta: Seconds to the end of this step.
            iterations: Of this step that are to come; its pace is kept for the last.
        """
        if iterations > 0:
            self._pace = eta / iterations
        return eta + self._pace * self.later


class _WithStream:
    """A log processor whose training lines name the end of all steps, too."""

    def __init__(self, processor: Any, clock: StepClock) -> None:
        self._processor = processor
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._processor, name)

    def get_log_after_iter(
        self, runner: Runner, batch_idx: int, mode: str
    ) -> tuple[Mapping[str, Any], str]:
        tag, text = self._processor.get_log_after_iter(runner, batch_idx, mode)
        known = runner.message_hub.runtime_info
        if mode == 'train' and 'eta' in known:
            left = runner.max_iters - runner.iter - 1
            total = self._clock.remaining(known['eta'], left)
            step = f'eta: {_clock_time(known["eta"])}  '
            text = text.replace(step, f'{step}all steps: {_clock_time(total)}  ', 1)
        return tag, text


def _clock_time(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
