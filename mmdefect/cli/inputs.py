"""What the inputs of ``mmdefect predict`` name, before any picture is read."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from mmdefect.deploy.paths import image_paths, passed_over
from mmdefect.utils.checks import some_of


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
    else:
        yield from map(str, image_paths(path))


def left_out(given: Iterable[str], items: Collection[str]) -> str:
    """A line on pictures and videos in folders that are none of what is looked at.

    Args:
        given: As they stand on the command line.
        items: Full names of what is looked at: some may be named by themselves.

    Returns:
        Empty where there are none.
    """
    found = [path for one in given for path in passed_over(Path(one))]
    found = [path for path in dict.fromkeys(found) if full_name(str(path)) not in items]
    if not found:
        return ''
    counts = Counter(path.suffix.lower() for path in found)
    kinds = ', '.join(f'{number} {kind}' for kind, number in counts.items())
    return (
        f'passed over: {kinds} ({some_of([path.name for path in found])}); folders are '
        "not searched for them, name them to look at them, as 'photos/*.webp'"
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
