"""Test images that are training images, too: scores on them say nothing."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from mmengine.logging import print_log

from mmdefect.utils.checks import name_some


def same_images(train: Iterable[Path | str], test: Iterable[Path | str]) -> list[str]:
    """Compare the bytes of training and test images.

    Only files of equal length are read, so that most sets cost a moment. Files that are
    not there are others' to name.

    Returns:
        One sentence if some are the same, naming a few pairs.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in map(Path, train):
        by_size[_size(path)].append(path)
    by_size.pop(0, None)
    by_content: dict[int, dict[bytes, Path]] = {}
    same = []
    for path in map(Path, test):
        size = _size(path)
        if size not in by_size:
            continue
        if size not in by_content:
            by_content[size] = {_digest(other): other for other in by_size[size]}
        if other := by_content[size].get(_digest(path)):
            same.append(f'{path} = {other}')
    if not same:
        return []
    return [
        f'test images that are training images, too ({name_some(same)}): scores on '
        'them say nothing about new images; remove them from one of both'
    ]


# Root and whether it is tested on -> annotations -> images.
_SETS: dict[tuple[str, bool], dict[str, set[str]]] = defaultdict(dict)
_SAID: set[tuple[str, str]] = set()


def warn_of_same(paths: Iterable[str], *, root: str, name: str, test: bool) -> None:
    """Warn, once, of images that are in a training and a test set of this process.

    A run and a stream build both; each is compared with those of its root that were
    there before. ``name`` is that of the annotations: the sets of a stream's steps
    share it.
    """
    own = _SETS[root, test].setdefault(name, set())
    own.update(paths)
    for other, images in _SETS[root, not test].items():
        train, tested = (images, own) if test else (own, images)
        pair = (other, name) if test else (name, other)
        if pair not in _SAID and (notes := same_images(sorted(train), sorted(tested))):
            _SAID.add(pair)
            print_log(
                f'{pair[0]} and {pair[1]}: {notes[0]}.',
                logger='current',
                level=logging.WARNING,
            )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _digest(path: Path) -> bytes:
    return _read_digest(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1 << 20)
def _read_digest(path: Path, _time: int) -> bytes:
    """Of the content; read again only when the file has changed."""
    return hashlib.sha256(path.read_bytes()).digest()
