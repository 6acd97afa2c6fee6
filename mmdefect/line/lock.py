"""One at a time: what changes a line takes its lock, which ends with the process."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from mmdefect.line.tables import PATIENCE
from mmdefect.utils.checks import visible

#: Seconds between two looks whether it is one's turn.
_PAUSE = 0.002


@contextmanager
def locked(file: Path, what: str) -> Iterator[None]:
    """Keep a line for this block. A kill frees it; another thread is refused, too.

    The folder is locked as well as the file, which may be deleted meanwhile.

    Args:
        file: Says who has it; made if need be, and left there.
        what: Which is said to whoever comes second, e.g. ``'promote'``.

    Raises:
        ValueError: Another has it.
        OSError: The file cannot be written.
    """
    with ExitStack() as stack:
        held = stack.enter_context(file.open('a+', encoding='utf-8'))
        numbers = [held.fileno()]
        with suppress(OSError):  # Windows opens no folder
            numbers.append(os.open(file.parent, os.O_RDONLY))
            stack.callback(os.close, numbers[-1])
        if not all(map(_take_if_possible, numbers)):
            held.seek(0)
            by = visible(held.read().strip()) or 'another process'
            raise ValueError(
                f'{what}: {file.parent} is in use by {by}: expected one at a time; '
                'wait for its end'
            )
        held.truncate(0)
        held.write(f'{what}, process {os.getpid()} on {platform.node()}')
        held.flush()
        yield


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other thread or process is in this block, for milliseconds.

    Args:
        path: A file or folder that stays where it is.

    Raises:
        OSError: One is in it for longer: it was stopped, as by Ctrl-Z.
    """
    held = os.open(path, os.O_RDONLY)
    try:
        end = monotonic() + PATIENCE
        while not _take(held):
            if monotonic() > end:
                raise OSError(
                    f'{path} is held by another process for more than {PATIENCE} s: '
                    'expected a turn; let that one go on, or stop it'
                )
            sleep(_PAUSE)
        yield
    finally:
        os.close(held)


def _take_if_possible(number: int) -> bool:
    """The same, and True where there are no locks."""
    with suppress(ImportError, OSError):  # Windows, or a file system without them
        return _take(number)
    return True


def _take(number: int) -> bool:
    """Lock what is open; whether nobody else has it."""
    import fcntl

    try:
        # Not lockf: that one is of the process, and two threads would both get it.
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
