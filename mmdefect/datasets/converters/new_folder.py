"""Writing a folder of images that is either whole or not there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np


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


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write a PNG without loss, creating its folder.

    Raises:
        OSError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f'Cannot write {path}: check that its folder is writable.')
