from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdefect.converters.mask_output import (
    Masks,
    compare_with_images,
    number_classes,
    write_masks,
)


@pytest.fixture
def masks() -> Masks:
    """Three masks of 6x6, the last of them empty."""
    found = Masks({'crack': 1, 'pore': 2})
    for number, name in enumerate(['a', 'sub/b', 'c'], 1):
        mask = np.zeros((6, 6), np.uint8)
        mask[0, : number % 3] = number
        found.add(name, mask)
    return found


def save(path: Path, width: int, height: int, *, orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new('RGB', (width, height)).save(path, exif=exif)


def test_smoke(masks: Masks, tmp_path: Path) -> None:
    assert str(masks).splitlines() == [
        '3 masks',
        '  1 crack: 1 pixels in 1 masks',
        '  2 pore: 2 pixels in 1 masks',
        '  masks without any class: 1: c',
    ]
    write_masks(masks, tmp_path / 'out', notes={'x': [1]})
    read = [
        json.loads((tmp_path / f'out/{n}.json').read_text())
        for n in ('classes', 'notes')
    ]
    assert read == [{'crack': 1, 'pore': 2}, {'x': [1]}]
    with Image.open(tmp_path / 'out/masks/sub/b.png') as image:
        assert image.mode == 'L'
        assert np.asarray(image)[0].tolist() == [2, 2, 0, 0, 0, 0]


def test_exception_twice(masks: Masks) -> None:
    masks.add('a', np.zeros((6, 6), np.uint8))
    assert 'two annotations are of one image, a: expected one' in str(masks)


@pytest.mark.parametrize('names', [[], ['a', 'a'], [str(i) for i in range(127)]])
def test_exception_classes(names: list) -> None:
    with pytest.raises(ValueError, match='expected 1 to 126 different ones'):
        number_classes(names)


def test_feature_images(masks: Masks, tmp_path: Path) -> None:
    for name in ('a', 'sub/b', 'c'):
        save(tmp_path / f'{name}.JPG', 6, 6)
    compare_with_images(masks, tmp_path)
    assert masks.errors == []


def test_exception_images(masks: Masks, tmp_path: Path) -> None:
    save(tmp_path / 'sub/b.jpg', 7, 6)
    save(tmp_path / 'c.jpg', 6, 6, orientation=3)
    save(tmp_path / 'd.jpg', 6, 6)
    compare_with_images(masks, tmp_path)
    assert [error.partition(': expected')[0] for error in masks.errors] == [
        f'images of {tmp_path} are not annotated (1: d)',
        f'annotated images are not in {tmp_path} (1: a)',
        f'masks do not fit their images (2: {tmp_path}/c.jpg (EXIF orientation 3, and '
        'its size does not say whether stored or turned pixels are annotated: give '
        "exif='stored' or 'turned'), mask sub/b 6x6 of b.jpg 7x6)",
    ]
