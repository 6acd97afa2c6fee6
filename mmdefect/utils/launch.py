"""Start processes as torchrun does, and end with the error of the one that failed.

``python -m mmdefect.utils.launch`` takes torchrun's arguments. Tools write down how
they failed instead of printing it once a process (:mod:`mmdefect.utils.interrupts`).
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
)
from torch.distributed.run import parse_args, run


def main(args: Sequence[str] | None = None) -> None:
    """Run torchrun; what a process that failed has said is the last thing printed.

    A signal is passed on to the processes, of which one says where it was interrupted.
    """
    options = parse_args(list(args) if args is not None else None)
    for name in ('agent.server.api', 'multiprocessing.api'):
        log = logging.getLogger(f'torch.distributed.elastic.{name}')
        log.addFilter(lambda record: 'signal' not in record.getMessage())
    try:
        run(options)
    except ChildFailedError as error:
        sys.exit(f'\n{describe(error)}')
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
    except KeyboardInterrupt:  # before the first process was started
        sys.exit(128 + signal.SIGINT)


def describe(error: ChildFailedError) -> str:
    """Say what the process that failed first has said.

    Returns:
        Its rank and its sentence or traceback, or how it ended.
    """
    rank, failure = min(error.failures.items(), key=lambda item: _moment(item[1]))
    message = failure.message
    if isinstance(message, dict):
        said = message.get('extraInfo', {}).get('py_callstack') or message['message']
        return f'Process {rank} failed:\n{said.strip()}'
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        return (
            f'Process {rank} was killed by {name}; SIGKILL often means that the memory '
            'ran out'
        )
    return f'Process {rank} ended with exit status {failure.exitcode}: see above'


def _moment(failure: ProcessFailure) -> float:
    """When a process failed, in seconds; torch's own time stamps are whole ones."""
    path = Path(failure.error_file)
    return path.stat().st_mtime if path.is_file() else float(failure.timestamp + 1)


if __name__ == '__main__':
    main()
