"""What the inputs of ``mmdefect predict`` name, before any picture is read."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from mmdefect.deploy import sources
from mmdefect.utils.image_header import SUFFIXES


def listed(given: str) -> Iterator[str | int]:
    """Image files of a folder or glob; a video, file or camera itself.

    Args:
        given: As it stands on the command line; a number is a camera.

    Raises:
        FileNotFoundError: There is no such path, or nothing matches.
        ValueError: The folder holds no images.
    """
    path = Path(given)
    if given.isdecimal() and not path.exists():
        yield int(given)
    elif path.is_dir():
        yield from _some(
            sources._images_below(path),
            f'{path} holds no images: expected {", ".join(SUFFIXES)}; check the path',
            ValueError,
        )
    elif path.exists():
        yield given
    elif glob.has_magic(given):
        missing = f'nothing matches {path}: expected images; check the pattern'
        yield from _some(sources._matching(path), missing, FileNotFoundError)
    else:
        raise FileNotFoundError(
            f'{path} does not exist: expected an image, a folder, a glob, a video or '
            'the number of a camera; check the path'
        )


def _some(
    paths: Iterator[Path], missing: str, kind: type[Exception]
) -> Iterator[str | int]:
    none = True
    for path in paths:
        none = False
        yield str(path)
    if none:
        raise kind(missing)
