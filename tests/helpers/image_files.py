"""Drawn image files of many kinds, and what our reader is to say of each."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

WIDTH, HEIGHT = 8, 6


def picture() -> np.ndarray:
    """RGB, uint8, shape (HEIGHT, WIDTH, 3), no two pixels alike."""
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


def packed(pixels: np.ndarray | Image.Image, kind: str, **kwargs: Any) -> bytes:
    """Encode with Pillow."""
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    file = io.BytesIO()
    image.save(file, kind, **kwargs)
    return file.getvalue()


def deep(pixels: np.ndarray, suffix: str) -> bytes:
    """Encode with OpenCV, which knows 16-bit and float colour."""
    return cv2.imencode(suffix, pixels)[1].tobytes()


def with_exif(data_kind: str, orientation: int, pixels: np.ndarray) -> bytes:
    """A file with an EXIF (or TIFF) orientation; the pixels are what is stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return packed(pixels, data_kind, exif=exif)


def written(folder: Path, files: dict[str, bytes]) -> dict[str, Path]:
    """Write files and say where each is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in files}


def two_pictures(kind: str) -> bytes:
    """One file that holds two."""
    other = Image.fromarray(RGB[::-1])
    return packed(RGB, kind, save_all=True, append_images=[other])


RGB = picture()
BGR = RGB[..., ::-1]
GREY = RGB[..., 0]

ACCEPTED: dict[str, tuple[bytes, np.ndarray | None]] = {
    'rgb.png': (packed(RGB, 'PNG'), BGR),
    'rgb.bmp': (packed(RGB, 'BMP'), BGR),
    'rgb.tif': (packed(RGB, 'TIFF'), BGR),
    'lzw.tif': (packed(RGB, 'TIFF', compression='tiff_lzw'), BGR),
    'rgb.webp': (packed(RGB, 'WEBP', lossless=True), BGR),
    'rgb.ppm': (packed(RGB, 'PPM'), BGR),
    'rgb.jpg': (packed(RGB, 'JPEG', quality=95), None),
    'progressive.jpg': (packed(RGB, 'JPEG', progressive=True), None),
    'cmyk.jpg': (packed(Image.fromarray(RGB).convert('CMYK'), 'JPEG'), None),
    'stereo.jpg': (two_pictures('MPO'), None),
    'png.jpg': (packed(RGB, 'PNG'), BGR),
    'grey.png': (packed(GREY, 'PNG'), np.stack([GREY] * 3, -1)),
    'grey.tif': (packed(GREY, 'TIFF'), np.stack([GREY] * 3, -1)),
    'alpha.png': (packed(np.dstack([RGB, GREY]), 'PNG'), BGR),
    'alpha_grey.png': (
        packed(np.dstack([GREY, GREY[::-1]]), 'PNG'),
        np.stack([GREY] * 3, -1),
    ),
    'palette.png': (packed(Image.fromarray(RGB).quantize(48), 'PNG'), None),
    'one_bit.png': (
        packed(GREY > 127, 'PNG'),
        np.stack([(GREY > 127) * 255] * 3, -1),
    ),
    'still.gif': (packed(Image.fromarray(GREY), 'GIF'), np.stack([GREY] * 3, -1)),
    'deep.png': (deep(np.uint16(257) * BGR, '.png'), BGR),
    'deep.tif': (deep(np.uint16(257) * BGR, '.tif'), BGR),
    'deep_grey.png': (packed(np.uint16(257) * GREY, 'PNG'), np.stack([GREY] * 3, -1)),
    'deep_alpha.png': (deep(np.uint16(257) * np.dstack([BGR, GREY]), '.png'), BGR),
}
"""Name -> content and pixels (BGR); None where only the size is said."""

_JPEG, _PNG = ACCEPTED['rgb.jpg'][0], ACCEPTED['rgb.png'][0]
REFUSED: dict[str, tuple[bytes, str]] = {
    'empty.png': (b'', 'zero bytes'),
    'text.png': (b'no image', 'no image'),
    'cut.jpg': (_JPEG[: len(_JPEG) * 2 // 3], 'truncated or damaged'),
    'cut_at_the_end.jpg': (_JPEG[:-20], 'truncated or damaged'),
    'cut.png': (_PNG[: len(_PNG) * 2 // 3], 'truncated or damaged'),
    'cut.bmp': (ACCEPTED['rgb.bmp'][0][:-40], 'truncated or damaged'),
    'cut.tif': (ACCEPTED['rgb.tif'][0][:-40], 'truncated or damaged'),
    'float.tif': (packed(np.float32(GREY) / 255, 'TIFF'), 'floating-point values'),
    'float_colour.tif': (
        deep(np.float32(BGR), '.tif'),
        'a TIFF that is damaged',
    ),
    'whole.tif': (packed(np.int32(GREY), 'TIFF'), '32-bit integers'),
    'cmyk.tif': (
        packed(Image.fromarray(RGB).convert('CMYK'), 'TIFF'),
        '8-bit CMYK pixels',
    ),
    'lab.tif': (packed(Image.fromarray(RGB).convert('LAB'), 'TIFF'), '8-bit LAB'),
    'moving.gif': (two_pictures('GIF'), '2 pictures in one file'),
    'moving.png': (two_pictures('PNG'), '2 pictures in one file'),
    'pages.tif': (two_pictures('TIFF'), '2 pictures in one file'),
}
"""Name -> content and how the reason starts."""
