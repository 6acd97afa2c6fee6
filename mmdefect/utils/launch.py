"""Start processes as torchrun does, and end with the error of the one that failed.

``python -m mmdefect.utils.launch`` takes torchrun's arguments. Tools write down how
they failed instead of printing it once a process (:mod:`mmdefect.utils.interrupts`).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
)
from torch.distributed.run import parse_args, run

from mmdefect.utils.interrupts import LAUNCHER, SIGNALS, watch_launcher

# What a process says whose counterpart has gone.
_LOST = ('gloo/transport', 'Connection closed', 'Connection reset', 'DistBackendError')


def main(args: Sequence[str] | None = None) -> None:
    """Run torchrun; what a process that failed has said is the last thing printed.

    A signal is passed on to the processes, of which one says where it was interrupted.
    They end when this one is gone, and this one when the tool that has started it is.
    """
    watch_launcher()
    os.environ[LAUNCHER] = str(os.getpid())
    options = parse_args(list(args) if args is not None else None)
    for name in ('agent.server.api', 'multiprocessing.api'):
        log = logging.getLogger(f'torch.distributed.elastic.{name}')
        log.addFilter(lambda record: 'signal' not in record.getMessage())
    for number in SIGNALS[2:]:  # torchrun knows the others
        signal.signal(number, _pass_on)
    try:
        run(options)
    except ChildFailedError as error:
        sys.exit(f'\n{describe(error)}')
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
    except KeyboardInterrupt:  # before the first process was started
        sys.exit(128 + signal.SIGINT)


def _pass_on(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number)
    raise SignalException(f'got {name.name}', sigval=name)


def describe(error: ChildFailedError) -> str:
    """Say what the process that failed first has said.

    Returns:
        Its rank and its sentence or traceback, or how it ended.
    """
    rank, failure = min(error.failures.items(), key=lambda item: _order(item[1]))
    if said := _said(failure):
        return f'Process {rank} failed:\n{said.strip()}'
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        return (
            f'Process {rank} was killed by {name}; SIGKILL often means that the memory '
            'ran out'
        )
    return f'Process {rank} ended with exit status {failure.exitcode}: see above'


def _said(failure: ProcessFailure) -> str:
    """What a process has written down; empty if it could not."""
    message = failure.message
    if not isinstance(message, dict):
        return ''
    return message.get('extraInfo', {}).get('py_callstack') or message['message']


def _order(failure: ProcessFailure) -> tuple[bool, float]:
    """The first one first; but who only lost the other has not begun it."""
    lost = any(words in _said(failure) for words in _LOST)
    return lost, _moment(failure)


def _moment(failure: ProcessFailure) -> float:
    """When a process failed, in seconds; torch's own time stamps are whole ones."""
    path = Path(failure.error_file)
    return path.stat().st_mtime if path.is_file() else float(failure.timestamp + 1)


if __name__ == '__main__':
    main()
