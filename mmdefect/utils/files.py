"""Files written in one piece: a reader, or a kill in the middle, never meets a half."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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


def refuse_full(out: Path) -> None:
    """Refuse to write where something is.

    Raises:
        FileExistsError: If ``out`` is a file, or a folder that holds anything.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f'{out} holds something already{_left_behind(out)}; expected a new or '
            'empty folder: remove it, or give another one with --out.'
        )


def _left_behind(out: Path) -> str:
    return ' (a conversion that was killed may have left it)' * (out.suffix == '.part')


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
