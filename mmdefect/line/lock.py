"""One at a time: what changes a line takes its lock, which ends with the process."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from mmdefect.utils.checks import visible


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
        if not all(map(_take, numbers)):
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


def _take(number: int) -> bool:
    """Lock what is open, where the system can; whether nobody else has it."""
    try:
        import fcntl

        # Not lockf: that one is of the process, and two threads would both get it.
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows, or a file system without locks
        pass
    return True
