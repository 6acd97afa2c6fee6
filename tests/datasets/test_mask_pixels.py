"""Any colour is a defect, full alpha is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdefect.datasets.mask_pixels import (
    MaskFacts,
    defect_pixels,
    look_at_mask,
    mask_notes,
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
    with pytest.raises(ValueError, match=r'Cannot read the mask .*a\.png \(no image\)'):
        look_at_mask(tmp_path / 'a.png')
