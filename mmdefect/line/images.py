"""Pictures that are kept beside their decisions, and which go when room is needed."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmdefect.utils.checks import brief, visible
from mmdefect.utils.image_header import ImageError, header_of
from mmdefect.utils.images import decode

_NAME = re.compile(r'(pixels:)?([0-9a-f]{64})')
# What is called otherwise is none of ours: it neither counts nor goes.
_FILE = re.compile(r'(pixels-)?[0-9a-f]{64}\.[^.]+')
_DRAFT = re.compile(rf'{_FILE.pattern}\.\d+-\d+\.tmp')
_PIXELS, _IN_NAMES = 'pixels:', 'pixels-'
_SUFFIXES = {'JPEG': '.jpg', 'TIFF': '.tif'}
# How often the folder is read: when so much of what it may hold was added.
_SLICE = 20


def image_hash(data: bytes | None, pixels: np.ndarray | None) -> str | None:
    """By what an image is known: its file's bytes, or of a frame its pixels.

    Args:
        data: Content of its file.
        pixels: ``(H, W, 3)`` uint8, where there is no file.
    """
    if data is not None:
        return hashlib.sha256(data).hexdigest()
    if pixels is None:
        return None
    found = hashlib.sha256('x'.join(map(str, pixels.shape)).encode())
    found.update(np.ascontiguousarray(pixels).data)
    return f'{_PIXELS}{found.hexdigest()}'


def is_of(data: bytes, image: str) -> bool:
    """Whether the content of a file is the image of a hash."""
    if not image.startswith(_PIXELS):
        return image_hash(data, None) == image
    try:
        return image_hash(None, decode(data, header_of(data))) == image
    except ImageError:
        return False


def file_name(image: str) -> str:
    """What files of an image are called by its hash, without a suffix.

    Raises:
        ValueError: It is no hash of an image.
    """
    if not _NAME.fullmatch(image):
        raise ValueError(
            f'image={brief(image)}: expected the SHA-256 of an image as the log has '
            'it, 64 hexadecimal digits'
        )
    return image.replace(_PIXELS, _IN_NAMES)


def suffix_of(data: bytes) -> str:
    """What the file of a picture ends in, by its content: ``'.bin'`` if it is none."""
    try:
        kind = header_of(data, limited=False).kind
    except ImageError:
        return '.bin'
    return _SUFFIXES.get(kind, f'.{kind.lower()}')


class Picture(NamedTuple):
    """A picture whose hash was compared.

    Attributes:
        path: Its file.
        data: What that held when it was compared.
    """

    path: Path
    data: bytes


class _Kept(NamedTuple):
    age: float
    path: Path
    size: int


class ImageStore:
    """Pictures by their hash, as ``images/ab/abcd....jpg``.

    Several threads and processes may add at once. With a limit each of ``n`` processes
    may be beyond it by a twentieth.

    Args:
        folder: Where they lie.
        keep_bytes: How many bytes of them are kept, the newest; None for no limit.
        is_needed: Whether a picture, by its hash, must stay whatever its age.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep_bytes: int | None = None,
        is_needed: Callable[[str], bool] = lambda image: False,
    ) -> None:
        self.folder = folder
        self.keep_bytes = keep_bytes
        self._is_needed = is_needed
        self._added: int | None = None  # since the folder was read
        self._busy: Counter[str] = Counter()
        self._turn, self._count = threading.Lock(), threading.Lock()

    def add(self, image: str, data: bytes, *, suffix: str) -> Path:
        """Keep a picture; one that is there whole becomes the newest.

        Args:
            image: Its hash, as in the log.
            data: The content of its file.
            suffix: Such as ``'.jpg'``.

        Raises:
            OSError: It cannot be written.
            ValueError: The hash is none.
        """
        path = self._folder_of(image) / f'{file_name(image)}{suffix}'
        with suppress(FileNotFoundError):
            if path.stat().st_size == len(data):
                os.utime(path)
                return path
        if self.keep_bytes is not None:
            self._make_room(len(data), self.keep_bytes)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of this thread alone: others may keep the same picture.
        own = f'{os.getpid()}-{threading.get_ident()}'
        draft = self.folder / f'{path.name}.{own}.tmp'
        with self._held(alone=False):
            try:
                draft.write_bytes(data)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
        return path

    @contextmanager
    def busy(self, image: str | None) -> Iterator[None]:
        """Let no other thread remove a picture, by its hash, during a block."""
        if image is None:
            yield
            return
        with self._count:
            self._busy[image] += 1
        try:
            yield
        finally:
            with self._count:
                self._busy[image] -= 1
                if not self._busy[image]:
                    del self._busy[image]

    def find(self, image: str) -> Path | None:
        """Where a picture lies, by its hash; None if it is not kept.

        Raises:
            ValueError: The hash is none.
        """
        return next(self._folder_of(image).glob(f'{file_name(image)}.*'), None)

    def read(self, image: str) -> Picture | None:
        """A picture by its hash; None if it is not kept.

        Raises:
            OSError: It cannot be read.
            ValueError: The hash is none, or what lies there is another picture.
        """
        path = self.find(image)
        if path is None:
            return None
        data = path.read_bytes()
        if not is_of(data, image):
            raise ValueError(
                f'the kept picture {visible(str(path))} was changed: expected the one '
                'that was decided on, whose hash is its name; restore it, or remove it'
            )
        return Picture(path, data)

    def sweep(self) -> None:
        """Remove drafts that a kill has left; not while somebody writes."""
        found = self.folder.glob('*.tmp')
        drafts = [path for path in found if _DRAFT.fullmatch(path.name)]
        if drafts:
            with self._held(alone=True):
                for draft in drafts:
                    draft.unlink(missing_ok=True)

    @contextmanager
    def _held(self, *, alone: bool) -> Iterator[None]:
        """Write, as others may, or be the only one.

        Raises:
            BlockingIOError: Others write.
        """
        import fcntl

        number = os.open(self.folder, os.O_RDONLY)
        try:
            only = fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.flock(number, only if alone else fcntl.LOCK_SH)
            yield
        finally:
            os.close(number)

    def _folder_of(self, image: str) -> Path:
        return self.folder / file_name(image).removeprefix(_IN_NAMES)[:2]

    def _make_room(self, size: int, limit: int) -> None:
        """Remove the oldest when the limit is near, a slice more than is needed."""
        with self._turn:
            if self._added is None or self._added + size > limit // _SLICE:
                self._trim(limit - limit // _SLICE - size)
                self._added = 0
            self._added += size

    def _trim(self, most: int) -> None:
        """Remove the oldest until the others have at most so many bytes."""
        kept = sorted(self._listed())
        total = sum(one.size for one in kept)
        for one in kept:
            if total <= most:
                return
            image = one.path.stem.replace(_IN_NAMES, _PIXELS)
            # In this order: who is done has said that it is needed.
            if image not in self._busy and not self._is_needed(image):
                one.path.unlink(missing_ok=True)
                total -= one.size

    def _listed(self) -> list[_Kept]:
        found = []
        for path in self.folder.glob('*/*'):
            if not _FILE.fullmatch(path.name):
                continue
            try:
                about = path.stat()
            except FileNotFoundError:  # another process was first
                continue
            found.append(_Kept(about.st_mtime, path, about.st_size))
        return found
