"""What the inputs of ``mmdefect predict`` name, before any picture is read."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from mmdefect.deploy.paths import images_below, matching
from mmdefect.utils.image_header import SUFFIXES


def listed(given: str) -> Iterator[str | int]:
    """Image files of a folder or glob; a video, file or camera itself.

    Args:
        given: As it stands on the command line; a number is a camera.

    Raises:
        FileNotFoundError: There is no such path, or nothing matches.
        ValueError: The folder holds no images, or nothing is named.
    """
    if not given:
        raise ValueError(
            "INPUT '': expected a path, a glob or the number of a camera; write . for "
            'the folder that you are in'
        )
    path = Path(given)
    if given.isdecimal() and not path.exists():
        yield int(given)
    elif path.is_dir():
        yield from _some(
            images_below(path),
            f'{path} holds no images: expected {", ".join(SUFFIXES)}; check the path',
            ValueError,
        )
    elif path.exists():
        yield given
    elif glob.has_magic(given):
        missing = f'nothing matches {path}: expected images; check the pattern'
        yield from _some(matching(path), missing, FileNotFoundError)
    else:
        raise FileNotFoundError(
            f'{path} does not exist: expected an image, a folder, a glob, a video or '
            'the number of a camera; check the path'
        )


def full_name(source: str | int) -> str:
    """The one name of an image, however and from wherever it was named.

    Links to folders are followed, those to files are not: each is an image of its own.

    Args:
        source: Item of :func:`listed`, or source of a result.
    """
    if isinstance(source, int):
        return f'camera {source}'
    if re.fullmatch(r'camera \d+(#\d+)?', source):
        return source
    folder, name = os.path.split(source)
    return os.path.join(_real(str(Path.cwd() / folder)), name)  # noqa: PTH118


@lru_cache
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def names_pictures_of(given: str, folder: Path) -> bool:
    """Whether an input would find JPEG files of a folder, there already or not."""
    parts = (folder.resolve() / '0.jpg').parts
    if glob.has_magic(given) and not Path(given).exists():
        return _reaches(Path(full_name(given)).parts, parts)
    own = Path(given).resolve().parts
    return bool(given) and len(own) < len(parts) and own == parts[: len(own)]


def _reaches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a glob names a file, of which the suffix counts, or a folder above it."""
    if not pattern:
        return True
    if pattern[0] == '**':
        return any(_reaches(pattern[1:], parts[at:]) for at in range(len(parts)))
    if len(parts) == 1:
        suffix = Path(pattern[0]).suffix or '*'
        return len(pattern) == 1 and fnmatchcase('.jpg', suffix)
    return fnmatchcase(parts[0], pattern[0]) and _reaches(pattern[1:], parts[1:])


def _some(
    paths: Iterator[Path], missing: str, kind: type[Exception]
) -> Iterator[str | int]:
    none = True
    for path in paths:
        none = False
        yield str(path)
    if none:
        raise kind(missing)
