"""A limit on the size of files, which the system refuses to write beyond.

It stands in for a full disk.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


def limit_files(size: int) -> None:
    """No file of this process may have more bytes; -1 for no limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@contextmanager
def full_disk(size: int = 1000) -> Iterator[None]:
    """No file may have more bytes."""
    before, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit_files(size)
    try:
        yield
    finally:
        limit_files(before)
