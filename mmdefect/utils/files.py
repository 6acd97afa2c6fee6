"""Files written in one piece: a reader, or a kill in the middle, never meets a half."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_CLAIMS: dict[Path, IO[str]] = {}
_DRAFT_MARK = '.mmdefect-draft'


@contextmanager
def in_one_piece(path: Path, *, lasting: bool = False) -> Iterator[Path]:
    """A draft beside ``path`` to write to; it takes the name when the block ends.

    The folder is made if need be. After an error the draft is gone and a file that was
    there stays as it was.

    Args:
        lasting: Whether it has to outlive a power cut from then on, which costs some
            milliseconds: for what a training is continued by.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path)
    try:
        with _named(path):
            yield draft
            if lasting:
                flush(draft)
        draft.replace(path)
        if lasting:
            flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folder
        return
    try:
        os.fsync(number)
    except OSError:
        if not path.is_dir():  # some file systems flush no names
            raise
    finally:
        os.close(number)


def draft_of(path: Path) -> Path:
    """Where :func:`in_one_piece` writes; a kill may leave it behind."""
    return path.with_name(f'{path.name}.tmp')


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Name what was written in an error of the disk, which names nothing itself."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: Path, text: str, *, lasting: bool = False) -> None:
    """Write a text file in one piece; see :func:`in_one_piece`."""
    with in_one_piece(path, lasting=lasting) as draft:
        draft.write_text(text, encoding='utf-8')


def write_json(path: Path, content: Any, *, lasting: bool = False) -> None:
    """Write JSON in one piece; see :func:`in_one_piece`."""
    write_text(path, json.dumps(content, indent=2) + '\n', lasting=lasting)


def is_stale(path: Path, *sources: Path) -> bool:
    """Whether what is made of other files is missing, or older than one of them."""
    if not path.is_file():
        return True
    made = path.stat().st_mtime_ns
    return any(one.stat().st_mtime_ns > made for one in sources if one.is_file())


def need_space(
    folder: Path,
    size: int,
    what: str,
    *,
    cure: str = 'free some space, or give another --work-dir',
) -> None:
    """Refuse to begin what a disk cannot hold.

    Raises:
        OSError: Less than ``size`` bytes are free where the folder is.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f'{folder} has {_megabytes(free)} free: expected {_megabytes(size)} for '
            f'{what}; {cure}',
        )


def _megabytes(size: int) -> str:
    return f'{size / 1e6:,.1f} MB'


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
    file = (folder / '.claim').open('a+', encoding='utf-8')
    _lock(file, f'{folder} is in use', 'stop it, or give another --work-dir')
    _CLAIMS[folder] = file


def _lock(file: IO[str], trouble: str, cure: str) -> None:
    """Lock an open file for this process, where the system can, and write its name."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        # Not flock: workers would inherit that lock, and hold it when this one is dead.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        raise FileExistsError(
            f'{trouble} by {file.read()}: expected one at a time; wait for its end, '
            f'{cure}'
        ) from None
    except OSError:  # a file system without locks
        return
    file.truncate(0)
    file.write(f'process {os.getpid()} on {platform.node()}')
    file.flush()


#: What to do about a folder of results that holds something.
_CURE = 'remove it, or give another one with --out'


def refuse_full(out: Path, *, cure: str = _CURE) -> None:
    """Refuse to write where something is.

    Args:
        out: File or folder.
        cure: What to do about it, where there is no --out, or nothing to be removed.

    Raises:
        FileExistsError: If ``out`` is a file, or a folder that holds anything.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        part = out.suffix == '.part'
        killed = ' (a conversion that was killed may have left it)' if part else ''
        raise FileExistsError(
            f'{out} holds something already{killed}: expected a new or empty folder; '
            f'{cure}'
        )


@contextmanager
def draft_folder(path: Path, *, cure: str = _CURE) -> Iterator[Path]:
    """Give an empty folder for drafts, in ``path``, which is gone when the block ends.

    One that a kill has left is replaced: a file in it says that it is of ours, and the
    lock on that file whether somebody still writes.

    Args:
        path: New, or left by a kill.
        cure: As for :func:`refuse_full`.

    Raises:
        FileExistsError: If ``path`` is another process's, or no draft of ours.
    """
    mark = path / _DRAFT_MARK
    if not mark.is_file():
        refuse_full(path, cure=cure)
    path.mkdir(parents=True, exist_ok=True)
    with mark.open('a+', encoding='utf-8') as file:
        _lock(file, f'{path} is being written', 'or write elsewhere')
        draft = path / 'draft'
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir()
            yield draft
        finally:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def new_folder(out: Path, *, cure: str = _CURE) -> Iterator[Path]:
    """Give a folder to write to, which gets its name when all is written.

    Args:
        out: New or empty folder. What is written stands in ``<out>.part`` until then,
            which is gone after an error; what a kill leaves there, the next call
            replaces.
        cure: As for :func:`refuse_full`.

    Raises:
        FileExistsError: If ``out`` holds anything, or ``<out>.part`` what is no draft
            or another process's.
    """
    refuse_full(out, cure=cure)
    with draft_folder(out.with_name(f'{out.name}.part'), cure=cure) as draft:
        with _named(out):
            yield draft
        if out.is_dir():
            out.rmdir()
        draft.rename(out)


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def identical_files(paths: Iterable[Path]) -> list[list[Path]]:
    """Files with the same bytes, as groups of two or more.

    Only files of one size are read.
    """
    by_size: dict[int, list[Path]] = {}
    for path in paths:
        by_size.setdefault(path.stat().st_size, []).append(path)
    groups: dict[str, list[Path]] = {}
    for same_size in by_size.values():
        for path in same_size if len(same_size) > 1 else ():
            groups.setdefault(file_sha256(path), []).append(path)
    return [group for group in groups.values() if len(group) > 1]
