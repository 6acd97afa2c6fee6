"""One at a time: what changes a line takes its lock, which ends with the process."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
    import fcntl

    with file.open('a+', encoding='utf-8') as held:
        try:
            # Not lockf: that one is of the process, and two threads would both get it.
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            raise ValueError(
                f'{what}: {file.parent} is in use by {visible(held.read().strip())}: '
                'expected one at a time; wait for its end'
            ) from None
        held.truncate(0)
        held.write(f'{what}, process {os.getpid()} on {platform.node()}')
        held.flush()
        yield
