"""What the files of a data set are like, and keeping decoded images in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmdefect.utils.image_header import (
    Header,
    ImageError,
    check_regular,
    header_of,
    read_bytes,
    read_header,
)
from mmdefect.utils.images import EXIF, decode, is_turned, read_bgr, to_bgr


@dataclass(frozen=True)
class Facts:
    """What a file is like.

    Args:
        header: None for a file that is not accepted.
        error: Why it is not, in a few words.
        top: Largest value of its pixels, if it has 16 bits and was decoded.
    """

    header: Header | None = None
    error: str | None = None
    top: int = 0


def look_at(path: str | Path, *, full: bool = False) -> Facts:
    """Read the header of an image, or decode it.

    A file that has not changed is looked at once in a process, so the data sets of all
    steps of a stream cost as much as one.

    Args:
        path: The file.
        full: Whether to decode all pixels.
    """
    if missing := file_error(path):
        return Facts(error=missing)
    about = Path(path).stat()
    return _look(str(path), full, about.st_mtime_ns, about.st_size)


@cache
def _look(path: str, full: bool, _time: int, _size: int) -> Facts:
    try:
        if not full:
            return Facts(read_header(path))
        data = read_bytes(path)
        header = header_of(data)
        pixels = decode(data, header)
        if pixels.dtype == np.uint16:
            to_bgr(pixels[:1, :1], bits=16)  # for its message on channels
            return Facts(header, top=int(pixels.max(initial=0)))
        to_bgr(pixels[:1, :1])
    except ImageError as error:
        return Facts(error=str(error))
    return Facts(header)


def file_error(path: str | Path) -> str | None:
    """Say whether a file is missing, empty or no regular file; it is not read.

    Args:
        path: The image file.

    Returns:
        None for a file with content, otherwise a few words.
    """
    try:
        check_regular(path)
    except ImageError as error:
        return str(error)
    return None


def decode_error(path: str | Path) -> str | None:
    """Decode an image and say why it is broken.

    Args:
        path: The image file.

    Returns:
        None for a sound image, otherwise a few words.
    """
    return look_at(path, full=True).error


def detect_bits(
    paths: Iterable[str | Path], *, name: str, bits: int | None = None
) -> int | None:
    """How many bits the 16-bit images of a set use: 12 or 16.

    Cameras of 12 bits store 0 to 4095 in 16 bits. Only images of 16 bits are decoded;
    files that are not accepted are others' to name.

    Args:
        paths: All images of the set.
        name: Of the set, for the log.
        bits: What the user says; nothing is decoded then.

    Returns:
        ``bits``; 12 if no value is above 4095, else 16; None without images of 16 bits.
    """
    if bits is not None:
        return bits
    deep = deep_images(paths)
    if not deep:
        return None
    top = max(look_at(path, full=True).top for path in deep)
    bits = 12 if top < 4096 else 16
    print_log(
        f'{name}: {len(deep)} images of 16 bits with values up to {top}, decoded as '
        f'{bits} bits: 0 to {2**bits - 1} becomes 0 to 255 (bits=... of the data sets '
        'says otherwise).',
        logger='current',
    )
    return bits


def deep_images(paths: Iterable[str | Path]) -> list[str]:
    """Those of the images that have 16 bits, by their headers."""
    found = []
    for path in dict.fromkeys(map(str, paths)):
        # JPEG has eight bits: the headers of large sets need not be read.
        if not path.lower().endswith(('.jpg', '.jpeg')):
            header = look_at(path).header
            if header and header.bits > 8:
                found.append(path)
    return found


def check_settings(*, exif: str | None, bits: int | None) -> None:
    """Refuse settings of a data set that mean nothing.

    Raises:
        ValueError: Naming the setting.
    """
    if exif not in (None, *EXIF):
        raise ValueError(
            f'exif is {exif!r}; expected "stored" or "turned", which pixels of images '
            'with an EXIF orientation are annotated, or None to go by the sizes.'
        )
    if bits not in (None, *range(8, 17)):
        raise ValueError(
            f'bits is {bits!r}; expected 8 to 16, how many bits of 16-bit images are '
            'used, or None to find out.'
        )


def unlike_annotated(infos: Iterable[Mapping[str, Any]]) -> list[str]:
    """Name sound images that are not what their data info says.

    Args:
        infos: See :func:`read_info`.

    Returns:
        Path and a few words each: of another size, of an orientation that the size does
        not decide, or with values beyond ``bits``.
    """
    found = []
    for info in infos:
        facts = look_at(info['img_path'], full=True)
        bits = info.get('bits', 16)
        try:
            if facts.header:
                size = (info['width'], info['height'])
                is_turned(facts.header, size, info.get('exif'))
            if facts.top >= 2**bits:
                raise ImageError(f'values up to {facts.top}, more than {bits} bits')
        except ImageError as error:
            found.append(f'{info["img_path"]} ({error})')
    return found


HOW_TO_READ = ('width', 'height', 'exif', 'bits')
"""What of a data info :func:`read_info` looks at besides its path."""


def read_info(info: Mapping[str, Any], *, data: bytes | None = None) -> np.ndarray:
    """Read the image of a data info as :mod:`mmdefect.utils.images` says.

    Args:
        info: With ``img_path``; where known ``width`` and ``height`` as annotated,
            ``exif`` and ``bits``. Without size and ``exif``, an image with an EXIF
            orientation is turned, as viewers show it.
        data: Content of the file, if it is read already.

    Returns:
        Shape (H, W, 3), BGR, uint8.

    Raises:
        ValueError: Naming the file, if it cannot be accepted.
    """
    size = None
    if info.get('width') and info.get('height'):
        size = (info['width'], info['height'])
    exif = info.get('exif') or (None if size else 'turned')
    path = info['img_path']
    return read_bgr(path, data=data, size=size, exif=exif, bits=info.get('bits'))


def fill_cache(
    infos: Iterable[Mapping[str, Any]], *, max_bytes: int
) -> dict[str, np.ndarray]:
    """Decode images until the memory is used up.

    Filled once, in order, before workers are forked: they share the pages, and which
    images are cached does not depend on timing.

    Args:
        infos: Data infos, see :func:`read_info`.
        max_bytes: Memory for decoded images.

    Returns:
        Path -> uint8 image of shape (height, width, 3), BGR, read-only.
    """
    cache: dict[str, np.ndarray] = {}
    used = 0
    for info in infos:
        if info['img_path'] in cache:
            continue
        try:
            image = read_info(info)
        except ValueError:  # LoadCachedImage will name the file
            continue
        used += image.nbytes
        if used > max_bytes:
            break
        image.setflags(write=False)
        cache[info['img_path']] = image
    return cache
