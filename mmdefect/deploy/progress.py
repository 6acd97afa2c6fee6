"""How far a run is, in one line that is written over."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_BAR = 24


class Progress:
    """Counts pictures on stderr, at most ten times a second.

    Args:
        total: How many there will be; None if nobody knows.
        shown: Whether anything is written.
    """

    def __init__(self, total: int | None, *, shown: bool = True) -> None:
        self.total = total
        self.shown = shown
        self.done = 0
        self._began = self._said = 0.0

    def __enter__(self) -> Progress:
        self._began = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.shown:
            sys.stderr.write(f'\r{self.line()}\n')
            sys.stderr.flush()

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        now = time.monotonic()
        if self.shown and now - self._said >= 0.1:
            self._said = now
            sys.stderr.write(f'\r{self.line()}')
            sys.stderr.flush()

    def line(self) -> str:
        """What is written."""
        seconds = max(time.monotonic() - self._began, 1e-6)
        rate = self.done / seconds
        if not self.total:
            return f'{self.done} pictures, {rate:.1f} a second '
        full = round(_BAR * min(1, self.done / self.total))
        bar = '#' * full + '-' * (_BAR - full)
        left = (self.total - self.done) / rate if self.done else 0.0
        return (
            f'[{bar}] {self.done}/{self.total} pictures, {rate:.1f} a second, '
            f'{left:.0f} s to go '
        )
