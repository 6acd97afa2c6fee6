"""The reader of image files: what it accepts, and which pixels it gives."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmdefect.utils.image_header import (
    LIMIT,
    ImageError,
    header_of,
    read_bytes,
    read_header,
)
from mmdefect.utils.images import is_turned, read_bgr, read_mask, to_bgr, turn
from tests.helpers.image_files import (
    ACCEPTED,
    BGR,
    GREY,
    HEIGHT,
    REFUSED,
    RGB,
    WIDTH,
    deep,
    packed,
    with_exif,
)


@pytest.mark.parametrize('name', ACCEPTED)
def test_feature_accepted_files(tmp_path: Path, name: str) -> None:
    data, expected = ACCEPTED[name]
    (tmp_path / name).write_bytes(data)
    header = read_header(tmp_path / name)
    assert header == header_of(data)
    assert header.size() == (WIDTH, HEIGHT)
    found = read_bgr(tmp_path / name, size=(WIDTH, HEIGHT))
    assert found.dtype == np.uint8
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert found.flags['C_CONTIGUOUS']
    if expected is not None:
        np.testing.assert_array_equal(found, expected)
    else:  # as Pillow decodes it, but for rounding
        other = np.asarray(Image.open(tmp_path / name).convert('RGB'))[..., ::-1]
        assert np.abs(found.astype(int) - other).max() <= 60
        assert np.abs(found.astype(int) - other).mean() < 8


@pytest.mark.parametrize('name', REFUSED)
def test_exception_refused_files(tmp_path: Path, name: str) -> None:
    data, why = REFUSED[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(
        ValueError, match=rf'cannot load the image .*/{name} \({re.escape(why)}'
    ):
        read_bgr(tmp_path / name)


def test_exception_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'endless.png').symlink_to('/dev/zero')
    for name, why in (
        ('pipe.png', 'no regular file'),
        ('endless.png', 'no regular file'),
        ('.', 'no regular file'),
        ('none.png', 'missing file'),
    ):
        for read in (read_bytes, read_header):
            with pytest.raises(ImageError, match=why):
                read(tmp_path / name)


def write_header(path: Path, side: int) -> None:
    """A PNG that says it is a square of ``side`` pixels, and holds no more than one."""
    size = struct.pack('>II', side, side)
    data = bytearray(packed(np.zeros((1, 1), bool), 'PNG'))
    data[16:24] = size
    data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
    path.write_bytes(data)


def test_feature_line_scan_of_180_megapixels(tmp_path: Path) -> None:
    """More than Pillow's own limit."""
    write_header(tmp_path / 'scan.png', 13_400)
    assert read_header(tmp_path / 'scan.png').size() == (13_400, 13_400)
    assert Image.MAX_IMAGE_PIXELS is not None  # left as it was


def test_exception_too_many_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_header(tmp_path / 'bomb.png', 30_000)
    message = (
        r'cannot load the image .*bomb\.png \(30000x30000 is 900000000 pixels, above '
        r'the limit of 200000000: if you trust the file, raise it with '
        r'MMDEFECT_MAX_PIXELS=900000000\)'
    )
    with pytest.raises(ValueError, match=message):
        read_bgr(tmp_path / 'bomb.png')
    with pytest.raises(ValueError, match=r'cannot read the mask .*above the limit'):
        read_mask(tmp_path / 'bomb.png')
    monkeypatch.setenv(LIMIT, '900000000')
    assert read_header(tmp_path / 'bomb.png').width == 30_000
    monkeypatch.setenv(LIMIT, 'much')
    with pytest.raises(ValueError, match=f"^{LIMIT}='much': expected a number"):
        read_header(tmp_path / 'bomb.png')


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'WEBP'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_feature_stored_and_turned_pixels(
    tmp_path: Path, kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {'lossless': True} if kind == 'WEBP' else {}
    path = tmp_path / 'a.img'
    path.write_bytes(packed(RGB, kind, exif=exif, **options))
    assert read_header(path).orientation == orientation
    assert read_header(path).size() == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(read_bgr(path, exif='stored'), BGR)
    stored = Image.fromarray(RGB)
    stored.getexif()[0x0112] = orientation
    shown = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(read_bgr(path, exif='turned'), shown[..., ::-1])
    np.testing.assert_array_equal(turn(RGB, orientation), shown)
    np.testing.assert_array_equal(read_mask(path)[0], BGR)


def test_feature_the_size_says_what_is_annotated(tmp_path: Path) -> None:
    path = tmp_path / 'a.jpg'
    path.write_bytes(with_exif('JPEG', 6, RGB))
    stored = read_bgr(path, size=(WIDTH, HEIGHT))
    turned = read_bgr(path, size=(HEIGHT, WIDTH))
    assert stored.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(turned, np.rot90(stored, -1))


@pytest.mark.parametrize(
    ('orientation', 'pixels', 'size'),
    [
        (6, RGB[:, :HEIGHT], (HEIGHT, HEIGHT)),  # square
        (3, RGB, (WIDTH, HEIGHT)),  # upside down
        (2, RGB, (WIDTH, HEIGHT)),  # mirrored
        (6, RGB, None),  # nobody says
    ],
)
def test_exception_the_size_does_not_say(
    orientation: int, pixels: np.ndarray, size: tuple[int, int] | None
) -> None:
    header = header_of(with_exif('JPEG', orientation, np.ascontiguousarray(pixels)))
    message = f"EXIF orientation {orientation}, .* give exif='stored' or 'turned'"
    with pytest.raises(ImageError, match=message):
        is_turned(header, size)
    assert is_turned(header, size, 'turned')
    assert not is_turned(header, size, 'stored')


def test_exception_another_size() -> None:
    header = header_of(packed(RGB, 'PNG'))
    with pytest.raises(ImageError, match=r'^8x6, annotated 4x3$'):
        is_turned(header, (4, 3))
    # Without an orientation there is nothing to turn, whatever the setting.
    assert header.size(turned=is_turned(header, (8, 6), 'turned')) == (8, 6)
    tagged = header_of(with_exif('JPEG', 6, RGB))
    with pytest.raises(ImageError, match=r'6x8 turned \(EXIF orientation 6\), annot'):
        is_turned(tagged, (8, 6), 'turned')


@pytest.mark.parametrize('bits', [8, 12, 15, 16])
def test_feature_bits(bits: int) -> None:
    top = 2**bits - 1
    image = np.array([[0, top // 2, top]], np.uint16)
    assert to_bgr(image, bits=bits)[0, :, 0].tolist() == [0, 127, 255]
    if bits < 16:
        with pytest.raises(
            ImageError, match=f'values up to {top + 1}, and bits={bits}'
        ):
            to_bgr(image + np.uint16(1), bits=bits)


def test_feature_rounding_of_16_bits() -> None:
    image = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.rint(image / 257).astype(np.uint8)
    np.testing.assert_array_equal(to_bgr(image)[..., 0], expected)


def test_exception_12_bits_do_not_become_black(tmp_path: Path) -> None:
    (tmp_path / 'a.png').write_bytes(packed(np.uint16(16) * GREY, 'PNG'))
    with pytest.raises(ValueError, match=r'a\.png \(16 bits of which .* give bits=12'):
        read_bgr(tmp_path / 'a.png')
    found = read_bgr(tmp_path / 'a.png', bits=12)[..., 0]
    assert np.abs(found.astype(int) - GREY).max() <= 1
    assert len(np.unique(found)) == len(np.unique(GREY))


def test_feature_masks_as_stored(tmp_path: Path) -> None:
    path = tmp_path / 'm.png'
    indices = Image.fromarray(np.array([[0, 2], [1, 0]], np.uint8))
    indices = indices.convert('P')
    indices.putpalette([255, 255, 255, 0, 0, 0, 255, 0, 0])
    path.write_bytes(packed(indices, 'PNG'))
    assert read_mask(path)[0].tolist() == [[0, 2], [1, 0]]  # not the colours
    path.write_bytes(packed(np.array([[0, 1]], bool), 'PNG'))
    assert read_mask(path)[0].tolist() == [[0, 1]]
    path.write_bytes(deep(np.array([[0, 300]], np.uint16), '.png'))
    assert read_mask(path)[0].tolist() == [[0, 300]]
