"""One broken file, or one that was made to do harm."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmdefect.utils.text_files import MAX_TEXT_BYTES

Make = Callable[[Path], object]
Read = Callable[[Path], object]
EXECUTED = 'EXECUTED'
"""What code in a file would write into the folder that it lies in."""


@dataclass(frozen=True)
class Hostile:
    """One file.

    Args:
        group: What it pretends to be.
        about: What is wrong with it, for a reader.
        name: Of the file.
        make: Writes it.
        read: Reads it as the package does.
    """

    group: str
    about: str
    name: str
    make: Make
    read: Read

    def said(self, folder: Path) -> str:
        """What is said of it; ``'read'`` if nothing is."""
        path = folder / self.name
        self.make(path)
        try:
            self.read(path)
        except (ValueError, FileNotFoundError) as error:
            return str(error)
        return 'read'


def content(data: bytes | str) -> Make:
    raw = data.encode() if isinstance(data, str) else data
    return lambda path: path.write_bytes(raw)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to('/dev/zero')


def sparse(path: Path) -> None:
    """More than any text has, of no bytes on the disk."""
    with path.open('wb') as file:
        file.truncate(MAX_TEXT_BYTES + 1)
