"""Any colour is a defect, full alpha is none."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdefect.datasets.index_masks.pixels import (
    MaskFacts,
    defect_pixels,
    look_at_mask,
    mask_notes,
    read_defect,
)


@pytest.mark.parametrize('channels', [None, 1, 2, 3, 4])
def test_feature_channels(channels) -> None:
    mask = np.zeros((2, 3) if channels is None else (2, 3, channels), np.uint16)
    if channels in (2, 4):
        mask[..., -1] = 255
    mask[0, 1] = 7
    if channels in (3, 4):
        mask[1, 2, 2] = 1  # one colour is enough
    found = defect_pixels(mask)
    assert found.dtype == np.uint8
    assert found.tolist() == [[0, 1, 0], [0, 0, int(channels in (3, 4))]]


@pytest.mark.parametrize(
    ('values', 'lossy', 'expected'),
    [
        ([0, 1, 2], False, [0, 1, 1]),  # class ids, as VisA's kinds of defects
        ([0, 126, 3], False, [0, 1, 1]),
        ([0, 0, 127], False, [0, 0, 1]),  # one value beside zero
        ([0, 3, 65535], False, [0, 0, 1]),  # grey levels: from half on
        ([0, 127, 255], False, [0, 0, 1]),
        ([0, 128, 255], False, [0, 1, 1]),
        ([2, 60, 90], True, [0, 1, 1]),  # JPEG of a faint drawing
        ([0, 0, 0], True, [0, 0, 0]),
    ],
)
def test_feature_levels(values: list, lossy: bool, expected: list) -> None:
    found = defect_pixels(np.array([values], np.uint16), lossy=lossy)
    assert found.tolist() == [expected]


def test_feature_pixels_in_between_are_counted(tmp_path: Path) -> None:
    mask = np.array([[0, 20, 200, 255]], np.uint8)
    Image.fromarray(mask).save(tmp_path / 'grey.png')
    Image.fromarray(mask // 4).save(tmp_path / 'ids.png')
    Image.fromarray(mask * 0).save(tmp_path / 'none.png')
    assert look_at_mask(tmp_path / 'grey.png') == MaskFacts(defect=2, between=2)
    assert look_at_mask(tmp_path / 'none.png') == MaskFacts(defect=0)
    grey, blank = mask_notes(sorted(tmp_path.iterdir()))
    assert 'grey.png (2)): 2 pixels lie between background and defect' in grey
    assert blank == f'masks without a defect pixel: 1: {tmp_path / "none.png"}'


def test_exception_no_mask(tmp_path: Path) -> None:
    (tmp_path / 'a.png').write_bytes(b'x')
    with pytest.raises(ValueError, match=r'annot read the mask .*a\.png \(no image\)'):
        look_at_mask(tmp_path / 'a.png')


def square() -> np.ndarray:
    """White of 20 x 20 pixels on black of 100 x 100."""
    mask = np.zeros((100, 100), np.uint8)
    mask[30:50, 60:80] = 255
    return mask


def with_palette(indices: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8)).convert('P')
    image.putpalette(colours)
    return image


BLACK, WHITE, RED, GREEN = [0] * 3, [255] * 3, [200, 0, 0], [0, 90, 0]


@pytest.mark.parametrize('suffix', ['png', 'gif', 'bmp', 'tif'])
def test_feature_a_palette_of_greys_is_read_as_grey(
    suffix: str, tmp_path: Path
) -> None:
    defect = square() > 0
    for name, image in {
        'quantized': Image.fromarray(square()).convert('RGB').quantize(2),
        'black first': with_palette(defect, BLACK + WHITE),
        'white first': with_palette(~defect, WHITE + BLACK),
    }.items():
        path = tmp_path / f'{name}.{suffix}'
        image.save(path)
        assert look_at_mask(path) == MaskFacts(defect=400), name
        np.testing.assert_array_equal(read_defect(path), defect)
        assert mask_notes([path]) == []


@pytest.mark.parametrize(
    ('colours', 'guess'),
    [
        (BLACK + RED, False),
        (GREEN + RED, False),
        (RED + BLACK, True),  # as a writer may order it: nobody can tell
        (BLACK + BLACK, True),  # ids without a picture
    ],
)
def test_feature_a_palette_of_colours_is_read_by_index(
    colours: list[int], guess: bool, tmp_path: Path
) -> None:
    path = tmp_path / 'a.png'
    with_palette(square() > 0, colours).save(path)
    assert look_at_mask(path) == MaskFacts(defect=400, guess=guess)
    notes = mask_notes([path])
    assert len(notes) == guess
    assert not guess or re.search(r'is not the darkest: 1: .*a\.png; save', notes[0])


def test_feature_a_palette_whose_index_0_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    with_palette(1 + (square() > 0), WHITE + BLACK + RED).save(path)
    assert look_at_mask(path) == MaskFacts(defect=10_000, whole=True, guess=True)
    with_palette(0 * square() + 3, WHITE * 3 + BLACK).save(path)
    assert look_at_mask(path) == MaskFacts(defect=0)


@pytest.mark.parametrize('colour', [0, 255])
def test_feature_a_drawing_in_the_alpha_channel_is_named(
    colour: int, tmp_path: Path
) -> None:
    path = tmp_path / 'a.png'
    flat = np.full_like(square(), colour)
    Image.fromarray(np.dstack([flat] * 3 + [square()])).save(path)
    all_or_none = 10_000 if colour else 0
    assert look_at_mask(path) == MaskFacts(all_or_none, alpha=True, whole=colour > 0)
    (note,) = mask_notes([path])
    assert re.match(r'masks drawn in the alpha channel only, .*: 1: .*a\.png; s', note)
    Image.fromarray(np.dstack([square()] * 3 + [square()])).save(path)
    assert look_at_mask(path) == MaskFacts(defect=400)
    assert mask_notes([path]) == []


def test_feature_a_mask_of_the_whole_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    Image.fromarray(np.maximum(square(), 1)).save(path)
    assert not look_at_mask(path).whole  # grey levels: from half on
    Image.fromarray(np.full_like(square(), 255)).save(path)
    assert look_at_mask(path) == MaskFacts(defect=10_000, whole=True)
    (note,) = mask_notes([path])
    assert note.startswith(f'masks that cover the whole image: 1: {path}; ')
