"""What the files of a dataset are like, and keeping decoded images in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from mmdefect.utils.checks import check_choice, name_some
from mmdefect.utils.image_header import (
    Header,
    ImageError,
    check_regular,
    header_of,
    read_bytes,
    read_header,
)
from mmdefect.utils.images import (
    EXIF,
    as_annotated,
    decode,
    is_turned,
    read_bgr,
    to_bgr,
)


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


# That decode, and images in memory that are not yet known to be kept.
THREADS, AT_ONCE = 2, 32
Keep = Callable[[Header, np.ndarray], Any]
# By path, whether it was decoded, time of change and size.
_KNOWN: dict[tuple[str, bool, int, int], Facts] = {}


def look_at(path: str | Path, *, full: bool = False, keep: Keep | None = None) -> Facts:
    """Read the header of an image, or decode it (``full``).

    A file that has not changed is looked at once in a process, so the datasets of all
    steps of a stream cost as much as one. What is decoded in doing so, ``keep`` is
    given: a sound header, and pixels as they are stored.
    """
    if missing := file_error(path):
        return Facts(error=missing)
    about = Path(path).stat()
    key = (str(path), full, about.st_mtime_ns, about.st_size)
    if key not in _KNOWN:
        _KNOWN[key] = _look(path, full, keep)
    return _KNOWN[key]


def _look(path: str | Path, full: bool, keep: Keep | None) -> Facts:
    try:
        if not full:
            return Facts(read_header(path))
        data = read_bytes(path)
        header = header_of(data)
        pixels = decode(data, header)
        deep = pixels.dtype == np.uint16
        to_bgr(pixels[:1, :1], bits=16 if deep else None)  # for its message on channels
    except ImageError as error:
        return Facts(error=str(error))
    if keep is not None:
        keep(header, pixels)
    return Facts(header, top=int(pixels.max(initial=0)) if deep else 0)


def file_error(path: str | Path) -> str | None:
    """Say in a few words whether a file is missing, empty or not regular, else None."""
    try:
        check_regular(path)
    except ImageError as error:
        return str(error)
    return None


def broken_error(broken: Sequence[str]) -> list[str]:
    """One sentence if there are broken files, each named with its reason."""
    found = (
        f'broken files ({name_some(broken)}): expected images that can be read; '
        'restore or remove them'
    )
    return [found] if broken else []


def refuse(errors: Sequence[str], *, where: str) -> None:
    """Raise the first of several errors and count the rest.

    Raises:
        ValueError: If there is an error.
    """
    if errors:
        more = f' ({len(errors) - 1} more like this)' if len(errors) > 1 else ''
        raise ValueError(f'{where}: {errors[0]}{more}')


def decode_error(path: str | Path) -> str | None:
    """Decode an image and say in a few words why it is broken, else None."""
    return look_at(path, full=True).error


def decode_errors(
    infos: Sequence[Mapping[str, Any]], *, max_bytes: int = 0
) -> tuple[dict[str, str | None], dict[str, np.ndarray]]:
    """Decode the images of data infos, and keep what a cache would decode again.

    Args:
        infos: As :func:`read_info` takes them.
        max_bytes: Memory for what is kept.

    Returns:
        Path -> why it is broken, else None; and path -> pixels as :func:`read_info`
        returns them, of the first images that were decoded now.
    """
    kept: dict[str, np.ndarray] = {}
    reasons: dict[str, str | None] = {}
    left = max_bytes

    def look(info: Mapping[str, Any]) -> tuple[Facts, list[tuple[Header, np.ndarray]]]:
        new: list[tuple[Header, np.ndarray]] = []
        keep = (lambda *found: new.append(found)) if max_bytes else None
        return look_at(info['img_path'], full=True, keep=keep), new

    with ThreadPoolExecutor(THREADS) as pool:  # OpenCV lets others run meanwhile
        for begin in range(0, len(infos), AT_ONCE):
            part = infos[begin : begin + AT_ONCE]
            for info, (facts, new) in zip(part, pool.map(look, part), strict=True):
                reasons[info['img_path']] = facts.error
                for header, pixels in new:
                    left -= 3 * header.width * header.height
                    # Of another size than annotated: whoever compares them names it.
                    with suppress(ImageError):
                        if left >= 0:
                            image = as_annotated(header, pixels, **_reading(info))
                            kept[info['img_path']] = image
    return reasons, kept


def detect_bits(
    paths: Iterable[str | Path], *, name: str, bits: int | None = None
) -> int | None:
    """Find how many bits the 16-bit images of a set use: 12 or 16, None without any.

    Cameras of 12 bits store 0 to 4095 in 16 bits. Only images of 16 bits are decoded;
    files that are not accepted are others' to name. Nothing is decoded if the user gave
    ``bits``.
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
        f'{bits} bits: 0 to {2**bits - 1} becomes 0 to 255 (bits=... of the datasets '
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
    """Refuse settings of a dataset that mean nothing.

    Raises:
        ValueError: Naming the setting.
    """
    check_choice('exif', exif, (None, *EXIF))
    check_choice('bits', bits, (None, *range(8, 17)))


def unlike_annotated(infos: Iterable[Mapping[str, Any]]) -> list[str]:
    """Name sound images that are not what their data info (see :func:`read_info`) says.

    Of another size, of an orientation that the size does not decide, or with values
    beyond ``bits``.
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
    """
    return read_bgr(info['img_path'], data=data, **_reading(info))


def _reading(info: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of :func:`as_annotated` that a data info says."""
    size = None
    if info.get('width') and info.get('height'):
        size = (info['width'], info['height'])
    exif = info.get('exif') or (None if size else 'turned')
    return {'size': size, 'exif': exif, 'bits': info.get('bits')}


def fill_cache(
    infos: Iterable[Mapping[str, Any]],
    *,
    max_bytes: int,
    decoded: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Decode images of data infos until ``max_bytes`` of memory are used up.

    Filled once, in order, before workers are forked: they share the pages, and which
    images are cached does not depend on timing.

    Returns:
        Path -> uint8 image of shape (height, width, 3), BGR, read-only.
    """
    cache: dict[str, np.ndarray] = {}
    used = 0
    for info in infos:
        if info['img_path'] in cache:
            continue
        try:
            image = (decoded or {}).get(info['img_path'])
            image = read_info(info) if image is None else image
        except ValueError:  # LoadCachedImage will name the file
            continue
        used += image.nbytes
        if used > max_bytes:
            break
        image.setflags(write=False)
        cache[info['img_path']] = image
    return cache
