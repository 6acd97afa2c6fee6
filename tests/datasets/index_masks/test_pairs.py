from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdefect.datasets.index_masks.pairs import Pair, find_files, pair_files, size_error


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b'')


def test_smoke(tmp_path: Path) -> None:
    """Any suffix in any case; dots in names; hidden files are neither."""
    put(tmp_path, 'i/b.JPG', 'i/a.1.jpeg', 'i/sub/c.Png', 'i/.hidden', 'i/.git/x.png')
    put(tmp_path, 'm/b.png', 'm/a.1.bmp', 'm/sub/c.PNG')
    found = pair_files(tmp_path / 'i', tmp_path / 'm')
    assert found == [
        Pair('a.1', tmp_path / 'i/a.1.jpeg', tmp_path / 'm/a.1.bmp'),
        Pair('b', tmp_path / 'i/b.JPG', tmp_path / 'm/b.png'),
        Pair('sub/c', tmp_path / 'i/sub/c.Png', tmp_path / 'm/sub/c.PNG'),
    ]


def test_feature_linked_folders_are_followed(tmp_path: Path) -> None:
    put(tmp_path, 'elsewhere/a.png')
    (tmp_path / 'i').mkdir()
    (tmp_path / 'i/Crack').symlink_to(tmp_path / 'elsewhere')
    assert list(find_files(tmp_path / 'i', 'image')) == ['Crack/a']


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (
            ['i/a.png', 'i/b.png', 'i/c.png', 'm/a.png'],
            r'images without a mask in .*/m \(2: .*/i/b\.png, .*/i/c\.png\)',
        ),
        (
            ['i/a.png', 'm/a.png', 'm/b.png'],
            r'masks without an image in .*/i \(1: .*/m/b\.png\)',
        ),
        # The same name in another folder is another image.
        (['i/x/a.png', 'm/y/a.png'], r'images without a mask in .* \(1: .*/i/x/a\.png'),
        (['i/a.png', 'm/.keep'], r'the mask folder .*/m is empty'),
        (['i/a.gif', 'm/a.png'], r'holds other files than images \(1: .*/i/a\.gif\)'),
        (['i/a.png', 'm/a.json'], r'holds other files than masks \(1: .*/m/a\.json\)'),
        (
            ['i/a.jpg', 'i/a.png', 'm/a.png'],
            r'holds images of one name \(1: .*/i/a\.jpg and a\.png\)',
        ),
    ],
)
def test_exception_files(tmp_path: Path, names: list, message: str) -> None:
    put(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        pair_files(tmp_path / 'i', tmp_path / 'm')


def test_exception_folders(tmp_path: Path) -> None:
    put(tmp_path, 'i/a.png')
    with pytest.raises(FileNotFoundError, match=r'there is no mask folder .*/none'):
        pair_files(tmp_path / 'i', tmp_path / 'none')
    with pytest.raises(ValueError, match='images and masks are both in'):
        pair_files(tmp_path / 'i', tmp_path / 'i/../i')


def test_feature_sizes(tmp_path: Path) -> None:
    pair = Pair('a', tmp_path / 'a.jpg', tmp_path / 'a.png')
    image = Image.new('RGB', (6, 4))
    image.save(pair.image)
    assert size_error(pair, np.zeros((4, 6), np.uint8)) is None
    why = size_error(pair, np.zeros((6, 4), np.uint8))
    assert why == f'{pair.mask} 4x6 of a.jpg 6x4'
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: its size does not say what the mask lies on
    image.save(pair.image, exif=exif)
    why = size_error(pair, np.zeros((4, 6), np.uint8))
    assert str(why).startswith(f'{pair.image} (EXIF orientation 3, and its size does')
    assert size_error(pair, np.zeros((4, 6), np.uint8), exif='stored') is None
    exif[0x0112] = 6  # a quarter: the size says it
    image.save(pair.image, exif=exif)
    assert size_error(pair, np.zeros((4, 6), np.uint8)) is None
    assert size_error(pair, np.zeros((6, 4), np.uint8)) is None
    why = size_error(pair, np.zeros((6, 4), np.uint8), exif='stored')
    assert '6x4 stored (EXIF orientation 6), annotated 4x6' in str(why)
    pair.image.write_bytes(b'x')
    why = size_error(pair, np.zeros((4, 6), np.uint8))
    assert why == f'{pair.image} (no image)'
