"""How a tool ends early: in one sentence, said once and last.

By a signal (Ctrl-C, or the SIGTERM of a scheduler), or by an error.
"""

from __future__ import annotations

import errno
import faulthandler
import json
import linecache
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

# What a work dir that cannot be made, written or filled leads to.
_NO_PLACE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR),
    *(errno.ENOSPC, errno.EDQUOT),
}


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


@contextmanager
def recorded(cure: str) -> Iterator[None]:
    """Say once and last what ends a tool early; decorates its ``main``.

    A signal, and an error that this package raises on purpose, end it in one sentence;
    the traceback is in the log file, if there is one already. Any other error ends it
    in its traceback. Of processes that torchrun has started, the launcher
    (:mod:`mmdefect.utils.launch`) prints what the first one has written down.

    Args:
        cure: What to do after an interruption, such as ``'start it again'``.
    """
    try:
        raise_interrupts()
        if 'TORCHELASTIC_ERROR_FILE' in os.environ:
            faulthandler.enable()
        yield
    except Interrupted as stop:
        _end_interrupted(stop, cure)
    except Exception as error:  # whatever it is, it is said here
        _end_failed(error)


def first_process() -> bool:
    """Whether this process is the only one of its run, or the one that speaks."""
    return next(filter(None, _ranks()), '0') == '0'


def _ranks() -> Iterator[str | None]:
    """This process's number, by those launchers that set one."""
    names = ('RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK')
    return (os.environ.get(name) for name in names)


def _end_failed(error: Exception) -> NoReturn:
    told = ''.join(traceback.format_exception(error))
    for file in _log_files():
        file.handle(logging.LogRecord('mmdefect', 40, '', 0, told, None, None))
    sentence = _sentence(error)
    if path := os.environ.get('TORCHELASTIC_ERROR_FILE'):
        said = sentence or told
        moment = {'timestamp': str(int(time.time())), 'py_callstack': said}
        content = {'message': {'message': said, 'extraInfo': moment}}
        Path(path).write_text(json.dumps(content), encoding='utf-8')
        sys.exit(1)
    if sentence is None:
        raise error
    sys.exit(sentence)


def _sentence(error: Exception) -> str | None:
    """What to do about an error; None where its traceback tells more."""
    if isinstance(error, OSError) and error.errno in _NO_PLACE:
        return (
            f'error: {error.filename or "a file"}: {error.strerror}; expected a place '
            'that can be read and written: check it, or give another --work-dir'
        )
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals.get('__name__')).partition('.')[0]
    statement = linecache.getline(frame.f_code.co_filename, line).lstrip()
    ours = package in ('mmdefect', 'lab', '__main__') and statement.startswith('raise ')
    return f'error: {error}' if ours else None


def _log_files() -> list[logging.FileHandler]:
    module = sys.modules.get('mmengine.logging')
    loggers = module.MMLogger._instance_dict.values() if module else ()
    handlers = (handler for logger in loggers for handler in logger.handlers)
    return [one for one in handlers if isinstance(one, logging.FileHandler)]


def _end_interrupted(stop: Interrupted, cure: str) -> NoReturn:
    """Say where a tool was interrupted, on one process of many, and end this one."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    if first_process():
        place = ', '.join([*map(str, stop.args), *_epoch()])
        print(f'\ninterrupted{place and " at "}{place}; {cure}', file=sys.stderr)
    sys.stderr.flush()
    if any(_ranks()):  # what a group of processes holds is not torn down in peace
        os._exit(stop.status)
    sys.exit(stop.status)


def _epoch() -> list[str]:
    """The epoch that a Runner of this process is in, if there is one."""
    module = sys.modules.get('mmengine.logging')
    if module is None:
        return []
    epoch = module.MessageHub.get_current_instance().get_info('epoch')
    return [] if epoch is None else [f'epoch {epoch + 1}']
