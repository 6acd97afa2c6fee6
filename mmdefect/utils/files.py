"""Files written in one piece: a reader, or a kill in the middle, never meets a half."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_CLAIMS: dict[Path, IO[str]] = {}


@contextmanager
def in_one_piece(path: Path) -> Iterator[Path]:
    """A draft beside ``path`` to write to; it takes the name when the block ends.

    The folder is made if need be. After an error the draft is gone and a file that was
    there stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path)
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """Where :func:`in_one_piece` writes; a kill may leave it behind."""
    return path.with_name(f'{path.name}.tmp')


def write_text(path: Path, text: str) -> None:
    """Write a text file in one piece."""
    with in_one_piece(path) as draft:
        draft.write_text(text, encoding='utf-8')


def write_json(path: Path, content: Any) -> None:
    """Write JSON in one piece."""
    write_text(path, json.dumps(content, indent=2) + '\n')


def claim(folder: Path) -> None:
    """Keep a work dir for this process until it ends, however it ends.

    Raises:
        FileExistsError: If another process has it.
        OSError: If the folder cannot be made or written.
    """
    folder = folder.absolute()
    if folder in _CLAIMS:
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # Windows
        return
    file = (folder / '.claim').open('a+', encoding='utf-8')
    try:
        # Not flock: workers would inherit that lock, and hold it when this one is dead.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        raise FileExistsError(
            f'{folder} is in use by {file.read()}: expected one training at a time; '
            'wait for its end, stop it, or give another --work-dir'
        ) from None
    except OSError:  # a file system without locks
        return
    file.truncate(0)
    file.write(f'process {os.getpid()} on {platform.node()}')
    file.flush()
    _CLAIMS[folder] = file


def refuse_full(out: Path) -> None:
    """Refuse to write where something is.

    Raises:
        FileExistsError: If ``out`` is a file, or a folder that holds anything.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        part = out.suffix == '.part'
        killed = ' (a conversion that was killed may have left it)' if part else ''
        raise FileExistsError(
            f'{out} holds something already{killed}: expected a new or empty folder; '
            'remove it, or give another one with --out'
        )


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a folder to write to, which gets its name when all is written.

    Args:
        out: New or empty folder. What is written stands in ``<out>.part`` until then,
            which is gone after an error; a kill may leave it behind.

    Raises:
        FileExistsError: If ``out`` or ``<out>.part`` holds anything.
    """
    refuse_full(out)
    part = out.with_name(f'{out.name}.part')
    refuse_full(part)
    part.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
