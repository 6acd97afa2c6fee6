"""How a tool ends early: in one sentence, said once and last.

By a signal (Ctrl-C, the SIGTERM or SIGUSR1 of a scheduler, the end of the launcher), or
by an error.
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
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

# What a work dir that cannot be made, written or filled leads to.
_NO_PLACE = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
}
# Slurm sends the last before it takes a machine away (`--signal=USR1@60`).
SIGNALS = (signal.SIGINT, signal.SIGTERM, getattr(signal, 'SIGUSR1', signal.SIGTERM))
LAUNCHER = 'MMDEFECT_LAUNCHER'
"""Environment variable with the process that must not outlive those it has started."""
LOOK_S, GRACE_S = 1.0, 30.0


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
    """Raise :class:`Interrupted` on :data:`SIGNALS` from here on."""
    owner, last = os.getpid(), float('-inf')

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != owner:  # a worker: its owner says it
            if number in (signal.SIGINT, signal.SIGTERM):
                raise KeyboardInterrupt if number == signal.SIGINT else SystemExit
            return
        # A launcher passes on what the terminal has sent to all already.
        again, last = time.monotonic() - last < 1, time.monotonic()
        if not again:
            raise Interrupted(128 + number)

    for number in SIGNALS:
        signal.signal(number, stop)


def watch_launcher() -> None:
    """End this process as SIGTERM does when the one that has launched it is gone.

    Otherwise the processes of a launcher that was killed would train on unseen. One
    that cannot end, as it waits for another, is given half a minute.
    """
    launcher = int(os.environ.pop(LAUNCHER, '0'))
    if not launcher:
        return
    ours = os.getppid() == launcher

    def watch() -> None:
        while os.getppid() == launcher if ours else _runs(launcher):
            time.sleep(LOOK_S)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE_S)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


_BEFORE_END: list[Callable[[], str]] = []


def do_before_end(function: Callable[[], str] | None) -> None:
    """Have a function called when a signal ends this process; the last given counts.

    Args:
        function: Saves what would be lost, and returns what it has saved in words; None
            if nothing would be.
    """
    _BEFORE_END[:] = [] if function is None else [function]


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
        watch_launcher()
        if 'TORCHELASTIC_ERROR_FILE' in os.environ:
            faulthandler.enable()
        yield
    except Interrupted as stop:
        _end_interrupted(stop, cure)
    except Exception as error:  # whatever it is, it is said here
        if (behind := _interruption_behind(error)) is not None:
            _end_interrupted(behind, cure)
        _end_failed(error)


def _interruption_behind(error: BaseException | None) -> Interrupted | None:
    """A signal that a library has caught and turned into an error of its own."""
    while error is not None:
        if isinstance(error, Interrupted):
            return error
        error = error.__context__
    return None


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
        if _is_ours(error):
            return f'error: {error.strerror}'
        return (
            f'error: {error.filename or "a file"}: {error.strerror}; expected a place '
            'that can be read and written: check it, or give another --work-dir'
        )
    return f'error: {error}' if _is_ours(error) else None


def _is_ours(error: Exception) -> bool:
    """Whether this package has raised it on purpose, in words of its own."""
    if isinstance(error, OSError) and error.filename is not None:
        return False
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals.get('__name__')).partition('.')[0]
    statement = linecache.getline(frame.f_code.co_filename, line).lstrip()
    ours = package in ('mmdefect', 'lab', '__main__')
    return ours and statement.startswith('raise ')


def _log_files() -> list[logging.FileHandler]:
    module = sys.modules.get('mmengine.logging')
    loggers = module.MMLogger._instance_dict.values() if module else ()
    handlers = (handler for logger in loggers for handler in logger.handlers)
    return [one for one in handlers if isinstance(one, logging.FileHandler)]


def _end_interrupted(stop: Interrupted, cure: str) -> NoReturn:
    """Say where a tool was interrupted, on one process of many, and end this one."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    saved = _saved()
    if first_process():
        place = ', '.join([*map(str, stop.args), *_epoch()])
        place = f' at {place}' if place else ''
        print(f'\ninterrupted{place}; {saved}{cure}', file=sys.stderr)
    sys.stderr.flush()
    if any(_ranks()):  # what a group of processes holds is not torn down in peace
        os._exit(stop.status)
    sys.exit(stop.status)


def _saved() -> str:
    """Save what would be lost, and say so."""
    if not _BEFORE_END:
        return ''
    try:
        return f'{_BEFORE_END[0]()}; '
    except (OSError, ValueError) as error:
        return f'the last epoch could not be saved ({error}); '


def _epoch() -> list[str]:
    """The epoch that a Runner of this process is in, if there is one."""
    module = sys.modules.get('mmengine.logging')
    if module is None:
        return []
    epoch = module.MessageHub.get_current_instance().get_info('epoch')
    return [] if epoch is None else [f'epoch {epoch + 1}']
