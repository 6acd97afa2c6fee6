"""Any colour is a defect, full alpha is none."""

from __future__ import annotations

import numpy as np
import pytest

from mmdefect.datasets.mask_pixels import defect_pixels


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
