"""One at a time: what changes a line takes its lock, which ends with the process."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mmdefect.utils.checks import visible


@contextmanager
def locked(file: Path, what: str) -> Iterator[None]:
    """Keep a line for this block. A kill frees it; another thread is refused, too.

    Args:
        file: Made if need be, and left there.
        what: Which is said to whoever comes second, e.g. ``'promote'``.

    Raises:
        ValueError: Another has it.
        OSError: The file cannot be written.
    """
    with file.open('a+', encoding='utf-8') as held:
        if not _take(held):
            held.seek(0)
            raise ValueError(
                f'{what}: {file.parent} is in use by {visible(held.read().strip())}: '
                'expected one at a time; wait for its end'
            )
        held.truncate(0)
        held.write(f'{what}, process {os.getpid()} on {platform.node()}')
        held.flush()
        yield


def _take(file: IO[str]) -> bool:
    """Lock an open file, where the system can; whether nobody else has it."""
    try:
        import fcntl

        # Not lockf: that one is of the process, and two threads would both get it.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows, or a file system without locks
        pass
    return True
