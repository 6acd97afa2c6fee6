"""Files written in one piece: a reader, or a kill in the middle, never meets a half."""

from __future__ import annotations

import json
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
