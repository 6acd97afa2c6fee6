"""End by a signal in one sentence: Ctrl-C (SIGINT), or the SIGTERM of a scheduler."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn


class Interrupted(KeyboardInterrupt):
    """Raised where the main thread is when a signal comes.

    ``args`` say where that is, such as ``'step 1'``, by those that it passes.

    Args:
        status: Exit status of the process: 128 and the number of the signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


def raise_interrupts() -> None:
    """Raise :class:`Interrupted` on SIGINT and SIGTERM from here on."""
    owner, last = os.getpid(), float('-inf')

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != owner:  # a worker: its owner says it
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit
        # A launcher passes on what the terminal has sent to all already.
        again, last = time.monotonic() - last < 1, time.monotonic()
        if not again:
            raise Interrupted(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def end_interrupted(stop: Interrupted, cure: str) -> NoReturn:
    """Say where a tool was interrupted, on one process of many, and end this one.

    Args:
        stop: What ended the tool.
        cure: What to do next.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    ranks = [os.environ.get(name) for name in ('RANK', 'SLURM_PROCID')]
    rank = next(filter(None, ranks), '0')
    sys.stdout.flush()
    if rank == '0':
        place = ', '.join([*map(str, stop.args), *_epoch()])
        print(f'\ninterrupted{place and " at "}{place}; {cure}', file=sys.stderr)
    sys.stderr.flush()
    if any(ranks):  # what a group of processes holds is not torn down in peace
        os._exit(stop.status)
    sys.exit(stop.status)


def _epoch() -> list[str]:
    """The epoch that a Runner of this process is in, if there is one."""
    logging = sys.modules.get('mmengine.logging')
    if logging is None:
        return []
    epoch = logging.MessageHub.get_current_instance().get_info('epoch')
    return [] if epoch is None else [f'epoch {epoch + 1}']
