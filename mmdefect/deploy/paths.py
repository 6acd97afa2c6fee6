"""Files of a folder and of a pattern; every folder once, whatever links lead to it."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from mmdefect.utils.checks import name_some, visible
from mmdefect.utils.image_header import OTHER_PICTURES, SUFFIXES

VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.m4v', '.webm', '.mpg', '.mpeg')
"""Files that are taken for videos, in any case; all others are images."""
_OTHERS = (*OTHER_PICTURES, *VIDEO_SUFFIXES)


class _Entry(NamedTuple):
    path: Path
    is_folder: bool
    is_link: bool


class _Seen:
    """Folders that were visited, by what they are and not by their names."""

    def __init__(self) -> None:
        self._known: set[tuple[int, ...]] = set()

    def first(self, folder: Path, part: int = 0) -> bool:
        """Whether it is the first visit, for one part of a pattern."""
        about = folder.stat()
        key = (about.st_dev, about.st_ino, part)
        new = key not in self._known
        self._known.add(key)
        return new


def image_paths(path: Path) -> Iterator[Path]:
    """Image files of a folder or glob; any other file itself.

    Raises:
        FileNotFoundError: There is no such path, or nothing matches.
        ValueError: The folder holds no images. This, too, when called.
    """
    name = visible(str(path))
    if path.is_dir():
        found = images_below(path)
    elif path.exists():
        return iter([path])
    elif glob.has_magic(str(path)):
        found = matching(path)
    else:
        raise FileNotFoundError(
            f'{name} does not exist: expected an image, a folder, a glob, a video or '
            'the number of a camera; check the path'
        )
    if (first := next(found, None)) is not None:
        return chain([first], found)
    others = [other.name for other in passed_over(path)]
    kinds = f' ({name_some(others)} of other kinds)' if others else ''
    if path.is_dir():
        raise ValueError(
            f'{name} holds no images{kinds}: expected {", ".join(SUFFIXES)}; check the '
            'path'
        )
    raise FileNotFoundError(
        f'nothing matches {name}{kinds}: expected images; check the pattern'
    )


def passed_over(path: Path) -> Iterator[Path]:
    """Pictures and videos that :func:`image_paths` leaves out, as of other kinds."""
    if path.is_dir():
        yield from images_below(path, suffixes=_OTHERS)
    elif glob.has_magic(str(path)) and not path.exists() and not _says_kind(path):
        yield from matching(path, suffixes=_OTHERS)


def images_below(
    *folders: Path, suffixes: tuple[str, ...] = SUFFIXES
) -> Iterator[Path]:
    """Image files of folders and those in them: sorted, one folder at a time.

    Folders that links lead to come last, unless they were there already.
    """
    links, seen = [*folders], _Seen()
    for link in links:  # it grows meanwhile
        for path in _files_in(link, links, seen):
            if path.name.lower().endswith(suffixes):
                yield path


def _files_in(folder: Path, links: list[Path], seen: _Seen) -> Iterator[Path]:
    if not seen.first(folder):
        return
    for path, is_folder, is_link in _listed(folder):
        if not is_folder:
            yield path
        elif is_link:
            links.append(path)
        else:
            yield from _files_in(path, links, seen)


def _says_kind(pattern: Path) -> bool:
    """Whether a pattern names a suffix."""
    return bool(pattern.suffix) and not glob.has_magic(pattern.suffix)


def matching(pattern: Path, *, suffixes: tuple[str, ...] = SUFFIXES) -> Iterator[Path]:
    """What a glob names, then what is in folders that it names.

    Without a suffix in it, what looks like an image.

    Not by :mod:`glob`, which follows a link to its own folder as often as a path is
    long enough for.
    """
    said = _says_kind(pattern)
    parts = pattern.parts[1:] if pattern.anchor else pattern.parts
    if parts[-1] == '**':
        parts = (*parts, '*')
    links, seen = [(Path(pattern.anchor), 0)], _Seen()
    found = [entry for link in links for entry in _walked(*link, parts, links, seen)]
    found.sort(key=lambda entry: str(entry.path))
    for path, is_folder, _ in found:
        if not is_folder and (said or path.suffix.lower() in suffixes):
            yield path
    if '**' not in parts:  # with which the files in it match, too
        folders = (path for path, is_folder, _ in found if is_folder)
        yield from images_below(*folders, suffixes=suffixes)


def _walked(
    folder: Path,
    part: int,
    parts: Sequence[str],
    links: list[tuple[Path, int]],
    seen: _Seen,
) -> Iterator[_Entry]:
    """What matches the parts of a pattern from one on; links are left for later."""
    if not seen.first(folder, part):
        return
    here = parts[part]
    if here == '**':
        yield from _walked(folder, part + 1, parts, links, seen)
    below = part + (here != '**')
    for entry in _named(folder, here):
        if below == len(parts):
            yield entry
        elif entry.is_folder and entry.is_link and glob.has_magic(here):
            links.append((entry.path, below))
        elif entry.is_folder:
            yield from _walked(entry.path, below, parts, links, seen)


def _named(folder: Path, part: str) -> list[_Entry]:
    """What one part of a pattern names in a folder."""
    if not glob.has_magic(part):
        path = folder / part
        return [_Entry(path, path.is_dir(), path.is_symlink())] * path.exists()
    found = _listed(folder, hidden=part.startswith('.'))
    if part == '**':
        return found
    return [entry for entry in found if fnmatch.fnmatch(entry.path.name, part)]


def _listed(folder: Path, *, hidden: bool = False) -> list[_Entry]:
    """What is in a folder, sorted; what begins with a dot only if it is asked for."""
    with os.scandir(folder) as entries:
        found = sorted(
            (entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False))
            for entry in entries
            if hidden or not entry.name.startswith('.')
        )
    # A link may lead to itself, which only Path takes for no folder.
    return [
        _Entry(folder / name, (folder / name).is_dir() if link else is_folder, link)
        for name, link, is_folder in found
    ]
