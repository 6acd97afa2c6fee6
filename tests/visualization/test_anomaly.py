"""Overlays, outlines and strips of anomaly maps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmdefect.visualization.anomaly import (
    GAP,
    compound_panels,
    fit_mask,
    heat_overlay,
    map_range,
    outline,
    side_by_side,
    split_panels,
)

GREY = np.full((40, 60, 3), 128, dtype=np.uint8)
# cv2.applyColorMap(np.array([[0, 255]], np.uint8), cv2.COLORMAP_JET), BGR
BLUE, RED = (128, 0, 0), (0, 0, 128)


def spot(shape=(10, 15)) -> np.ndarray:
    """A map that is 0 but for a 4 in the middle."""
    anomaly_map = np.zeros(shape, dtype=np.float32)
    anomaly_map[shape[0] // 2, shape[1] // 2] = 4
    return anomaly_map


def defect() -> np.ndarray:
    mask = np.zeros((40, 60), dtype=bool)
    mask[15:25, 20:35] = True
    return mask


def test_smoke() -> None:
    panels = compound_panels(GREY, defect(), spot(), low=0, high=8)
    strip = side_by_side(list(panels.values()))
    assert strip.shape == (40, 4 * 60 + 3 * GAP, 3)
    assert strip.dtype == np.uint8
    image, mask, _, _ = split_panels(strip, 4)
    np.testing.assert_array_equal(image, GREY)
    np.testing.assert_array_equal(mask[..., 0] == 255, defect())


def test_exception_shapes_and_scale() -> None:
    scale = {'low': 0, 'high': 1}
    with pytest.raises(ValueError, match=r'image\.shape=\(40, 60\), .*: expected \(h'):
        heat_overlay(GREY[..., 0], spot(), **scale)
    with pytest.raises(ValueError, match=r'image\.dtype=float32: expected .* of uint8'):
        outline(GREY.astype(np.float32), defect())
    with pytest.raises(ValueError, match=r'anomaly_map\.shape=\(1, 10, 15\): expected'):
        heat_overlay(GREY, spot()[None], **scale)
    with pytest.raises(ValueError, match=r'mask\.shape=\(1, 40, 60\): expected \(hei'):
        outline(GREY, defect()[None])
    for bad in ({'low': 2, 'high': 1}, {'low': 0, 'high': float('nan')}):
        with pytest.raises(ValueError, match='low <= high'):
            heat_overlay(GREY, spot(), **bad)
    with pytest.raises(ValueError, match=r'strip\.shape=\(5, 101, 3\): expected 4 pan'):
        split_panels(np.zeros((5, 101, 3), np.uint8), 4)


def test_feature_overlay_is_half_colour_half_image() -> None:
    ramp = np.array([[0.0, 1.0]], dtype=np.float32).repeat(60, axis=1)
    picture = heat_overlay(GREY, ramp, low=0, high=1)
    # 0.5 * 128 + 0.5 * 128 and 0.5 * 0 + 0.5 * 128
    assert picture[0, 0].tolist() == [128, 64, 64]
    assert picture[0, -1].tolist() == [64, 64, 128]
    pure = heat_overlay(GREY, ramp, low=0, high=1, alpha=1)
    assert (tuple(pure[0, 0]), tuple(pure[0, -1])) == (BLUE, RED)
    np.testing.assert_array_equal(
        heat_overlay(GREY, ramp, low=0, high=1, alpha=0), GREY
    )


def test_feature_overlay_is_resized_then_clipped() -> None:
    # (0, 4) stretched bilinearly over four pixels is (0, 1, 3, 4); from 1 to 3 it is
    # all blue or all red.
    ramp = np.array([[0.0, 4.0]], dtype=np.float16)
    picture = heat_overlay(GREY[:1, :4], ramp, low=1, high=3, alpha=1)
    assert [tuple(pixel) for pixel in picture[0]] == [BLUE, BLUE, RED, RED]


def test_feature_constant_and_broken_maps() -> None:
    flat = np.full((4, 4), 3.0, dtype=np.float32)
    with np.errstate(all='raise'):
        picture = heat_overlay(GREY, flat, low=3, high=3, alpha=1)
        strip = compound_panels(GREY, defect(), flat, low=3, high=3)
    assert {tuple(pixel) for row in picture for pixel in row} == {BLUE}
    assert list(strip) == ['image', 'mask', 'dataset', 'own']
    nan = np.full((4, 4), np.nan, dtype=np.float32)
    assert map_range(nan) == (float('inf'), float('-inf'))
    assert map_range(np.array([[np.nan, 2, np.inf, -1]])) == (-1, 2)
    own = compound_panels(GREY, None, nan, low=0, high=1, defective=True)['own']
    assert own[0, 0].tolist() == [128, 64, 64]


def test_feature_own_scale_shows_a_weak_peak() -> None:
    panels = compound_panels(GREY, None, spot(), low=0, high=400, defective=True)
    # On the scale of the data set it stays blue, on its own it is red.
    assert panels['dataset'][..., 2].max() == 64
    assert panels['own'][..., 2].max() > 120


def test_feature_panels_depend_on_the_image() -> None:
    def names(mask, **kwargs) -> list[str]:
        return list(compound_panels(GREY, mask, spot(), low=0, high=4, **kwargs))

    empty = np.zeros((40, 60), dtype=bool)
    assert names(empty) == names(None) == ['image', 'dataset']
    assert names(empty, defective=False) == ['image', 'dataset']
    assert names(None, defective=True) == ['image', 'dataset', 'own']
    assert names(defect()) == ['image', 'mask', 'dataset', 'own']


def test_feature_outline_leaves_inside_and_outside_alone() -> None:
    drawn = outline(GREY, defect())
    changed = (drawn != GREY).any(axis=2)
    border = defect().astype(np.uint8)
    border = cv2.dilate(border, np.ones((5, 5))) - cv2.erode(border, np.ones((7, 7)))
    assert changed.any()
    assert not changed[border == 0].any()
    assert drawn[15, 25].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(outline(GREY, np.zeros((8, 8))), GREY)
    assert (GREY == 128).all()  # not drawn into


def test_feature_single_pixel_survives_shrinking() -> None:
    mask = np.zeros((400, 600), dtype=np.uint8)
    mask[201, 301] = 1
    assert fit_mask(mask, (40, 60)).sum() == 1
    assert fit_mask(mask[200:204, 300:304], (8, 8)).sum() == 4
