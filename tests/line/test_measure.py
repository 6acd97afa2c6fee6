"""Brightness and sharpness."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmdefect.line.measure import brightness_and_sharpness


def test_smoke_a_plain_image() -> None:
    assert brightness_and_sharpness(np.full((40, 60, 3), 70, np.uint8)) == (70.0, 0.0)
    assert brightness_and_sharpness(np.full((1, 1, 3), 9, np.uint8)) == (9.0, 0.0)


def test_feature_golden_checkerboard() -> None:
    """Of cells of one pixel each Laplacian is 4 times 255, up or down."""
    board = np.indices((64, 64)).sum(0) % 2 * np.uint8(255)
    image = np.uint8(board)[..., None].repeat(3, -1)
    assert brightness_and_sharpness(image) == (127.5, pytest.approx(1020.0**2))


@pytest.mark.parametrize('size', [(480, 640), (3000, 4000), (2000, 30)])
def test_feature_blur_is_seen_at_any_size(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*size, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    brightness, sharpness = brightness_and_sharpness(image)
    soft = cv2.GaussianBlur(image, (0, 0), 12)
    assert brightness == pytest.approx(127, abs=2)
    assert brightness_and_sharpness(soft)[1] < sharpness / 2
    dark = brightness_and_sharpness(np.uint8(image // 2))
    assert dark[0] == pytest.approx(brightness / 2, abs=1)
