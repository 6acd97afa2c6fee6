"""What an image file says of itself, and which files are accepted at all.

Regular files of a common format, within a limit of pixels, with one picture of grey or
colour and eight or sixteen bits. See :mod:`mmdefect.utils.images` for their pixels.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image, UnidentifiedImageError

SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')
"""Image files that are found in folders, in any case."""
OTHER_PICTURES = ('.webp', '.gif', '.heic', '.avif', '.jp2', '.ppm', '.pgm')
"""Pictures that folders are not searched for; some are read where they are named."""
MAX_PIXELS = 200_000_000
"""Largest image that is read unless :data:`LIMIT` says otherwise."""
LIMIT = 'MMDEFECT_MAX_PIXELS'
"""Environment variable that raises :data:`MAX_PIXELS`: workers inherit it."""

FORMATS = ('JPEG', 'PNG', 'BMP', 'TIFF', 'GIF', 'WEBP', 'PPM')
"""Formats that are read, by Pillow's names, whatever the suffix says."""
_MAGIC = (b'\xff\xd8\xff', b'\x89PNG', b'BM', b'II*\0', b'MM\0*', b'GIF8', b'RIFF')
_PNG = b'\x89PNG\r\n\x1a\n'
_MODES = ('1', 'L', 'P', 'PA', 'LA', 'RGB', 'RGBA', 'RGBX', 'YCbCr', 'I;16', 'I;16B')
_ODD_MODES = {'F': 'floating-point values', 'I': '32-bit integers'}
_ORIENTATION, _BITS = 0x0112, 0x0102  # tags of EXIF and TIFF
# Start of frame: where a JPEG has its size.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_HEAD = 1 << 16


class ImageError(ValueError):
    """Why a file is not accepted, in a few words that do not name it.

    Args:
        why: The words.
        cure: What to do about it, if that is not to correct or restore the file.
    """

    def __init__(self, why: str, cure: str = '') -> None:
        super().__init__(f'{why}: {cure}' if cure else why)
        self.why = why
        self.cure = cure


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Args:
        width: Of the stored pixels.
        height: Of the stored pixels.
        orientation: EXIF (or TIFF) orientation, 1 to 8; 1 is as stored.
        bits: Of a channel as stored: at most 8, or 16.
        mode: Pillow's name of the kind of pixels; empty for plain grey or colour.
        kind: Pillow's name of the format.
    """

    width: int
    height: int
    orientation: int = 1
    bits: int = 8
    mode: str = ''
    kind: str = 'PNG'

    def size(self, *, turned: bool = False) -> tuple[int, int]:
        """Width and height, as stored or as the orientation turns them."""
        if turned and self.orientation >= 5:
            return self.height, self.width
        return self.width, self.height


def read_bytes(path: str | Path) -> bytes:
    """Content of a regular file (or a link to one).

    Raises:
        ImageError: If it is missing, empty, or no regular file.
    """
    check_regular(path)
    # Not by Path, which takes longer than the file: for every image of training.
    with open(path, 'rb') as file:  # noqa: PTH123
        return file.read()


def check_regular(path: str | Path) -> None:
    """Refuse what is no file with content: folders, pipes, devices, empty files.

    Raises:
        ImageError: In a few words.
    """
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise ImageError('missing file' if missing else str(error.strerror)) from None
    if not stat.S_ISREG(found.st_mode):
        raise ImageError('no regular file')
    if not found.st_size:
        raise ImageError('zero bytes')


def max_pixels() -> int:
    """The limit on width times height.

    Raises:
        ValueError: If the environment variable is no whole number above 0.
    """
    text = os.environ.get(LIMIT, '')
    if not text:
        return MAX_PIXELS
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(
            f'{LIMIT}={text!r}: expected a number of pixels; set the environment '
            f'variable to one such as {MAX_PIXELS}'
        )
    return int(text)


def read_header(path: str | Path) -> Header:
    """Header of a file; its pixels are not decoded.

    Raises:
        ImageError: If it cannot be accepted.
    """
    check_regular(path)
    with Path(path).open('rb') as file:
        found = _plain_header(file.read(_HEAD))
        if found is None:
            file.seek(0)
            found = _any_header(file)
    return _within_limit(found)


def header_of(data: bytes, *, limited: bool = True) -> Header:
    """Header of a file's content; see :func:`read_header`.

    Args:
        limited: Whether more than :func:`max_pixels` are refused.
    """
    found = _plain_header(data)
    found = _any_header(io.BytesIO(data)) if found is None else found
    return _within_limit(found) if limited else found


def _within_limit(header: Header) -> Header:
    pixels, limit = header.width * header.height, max_pixels()
    if pixels > limit:
        raise ImageError(
            f'{header.width}x{header.height} is {pixels} pixels, above the limit of '
            f'{limit}: if you trust the file, raise it with {LIMIT}={pixels}'
        )
    return header


def _plain_header(data: bytes) -> Header | None:
    """Header of an ordinary JPEG or PNG; None for all that needs a closer look.

    That is most files, and Pillow would take a tenth of the time of decoding.
    """
    if data[:2] == b'\xff\xd8':
        return _plain_jpeg(data)
    if data[:8] == _PNG and data[12:16] == b'IHDR' and len(data) > 33:
        return _plain_png(data)
    return None


def _number(data: bytes) -> int:
    return int.from_bytes(data, 'big')


def _plain_jpeg(data: bytes) -> Header | None:
    at, end = 2, len(data) - 9
    while at < end and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAMES:
            height, width = (_number(data[i : i + 2]) for i in (at + 5, at + 7))
            sound = data[at + 4] == 8 and width and height
            return Header(width, height, kind='JPEG') if sound else None
        if marker == 0xE1 and data[at + 4 : at + 10] == b'Exif\0\0':
            return None
        if not 0xC0 <= marker < 0xFF or 0xD0 <= marker <= 0xDA:
            return None
        at += 2 + _number(data[at + 2 : at + 4])
    return None


def _plain_png(data: bytes) -> Header | None:
    width, height = (_number(data[i : i + 4]) for i in (16, 20))
    if not (width and height and data[24] == 8 and data[25] in (0, 2, 6)):
        return None
    at = 33
    while (kind := data[at + 4 : at + 8]) != b'IDAT':
        if len(kind) < 4 or kind in (b'eXIf', b'acTL'):
            return None
        at += 12 + _number(data[at : at + 4])
    return Header(width, height)


@contextmanager
def own_limit() -> Iterator[None]:
    """Pillow's own limit on pixels switched off: ours names the file and the cure."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _any_header(file: IO[bytes]) -> Header:
    head = file.read(32)
    file.seek(0)
    try:
        with own_limit(), Image.open(file, formats=FORMATS) as image:
            return _describe(image, head)
    except ImageError:
        raise
    except UnidentifiedImageError:
        if head[:4] in (b'II*\0', b'MM\0*'):
            why = 'a TIFF that is damaged, or of unusual depth or channels'
        else:
            known = head.startswith(_MAGIC)
            why = 'truncated or damaged' if known else 'no image'
        raise ImageError(why) from None
    except Exception as error:  # whatever a decoder raises on a damaged header
        raise ImageError(f'truncated or damaged: {error}') from error


def _describe(image: Image.Image, head: bytes) -> Header:
    kind, mode = str(image.format), image.mode
    tags: Any = getattr(image, 'tag_v2', {})
    bits = 16 if mode.startswith('I') else 8
    if kind == 'PNG':
        bits = max(head[24], 8)
    elif kind == 'TIFF':
        bits = max(8, *tags.get(_BITS, (1,)))
    elif mode == 'CMYK':
        mode = 'RGB'  # of a JPEG: the decoder converts it
    if bits > 16 or (mode not in _MODES and not (mode == 'I' and kind == 'PNG')):
        what = _ODD_MODES.get(mode, f'{bits}-bit {mode} pixels')
        raise ImageError(f'{what}: save it as grey or RGB with 8 or 16 bits')
    frames = 1 if kind in ('JPEG', 'MPO') else getattr(image, 'n_frames', 1)
    if frames > 1:
        raise ImageError(f'{frames} pictures in one file: save the one that is meant')
    orientation = 1
    if kind == 'TIFF' or 'exif' in image.info:
        found = image.getexif().get(_ORIENTATION, 1)
        orientation = found if found in range(2, 9) else 1
    # Pillow gives a TIFF's size after it is turned.
    width, height = image.size
    if kind == 'TIFF':
        width, height = int(tags[256]), int(tags[257])
    return Header(width, height, orientation, 16 if bits > 8 else 8, mode, kind)
