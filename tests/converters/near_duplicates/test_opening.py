from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmdefect.converters.near_duplicates.opening import (
    Ellipse,
    find_opening,
    sample,
    unit_points,
    whole_image,
)


def drawn(ellipse: Ellipse, *, disc: int = 190, size: int = 300) -> np.ndarray:
    """A bright disc with a dark opening and a hub, on grey ground."""
    image = np.full((size, size), 160, np.uint8)
    (x, y), axes, angle = ellipse
    for scale, grey in ((1.95, disc), (1.0, 25), (0.45, 180)):
        size_of = (scale * axes[0], scale * axes[1])
        cv2.ellipse(image, ((x, y), size_of, angle), grey, -1)
    return image


@pytest.mark.parametrize(
    'ellipse',
    [
        Ellipse((150.0, 150.0), (136.0, 136.0), 0.0),
        Ellipse((141.0, 158.0), (120.0, 140.0), 30.0),
        Ellipse((150.0, 149.0), (104.0, 140.0), 110.0),
    ],
)
@pytest.mark.parametrize('disc', [120, 190])
def test_feature_finds_the_border(ellipse: Ellipse, disc: int) -> None:
    found = find_opening(drawn(ellipse, disc=disc))
    assert found is not None
    assert found.centre == pytest.approx(ellipse.centre, abs=0.5)
    assert sorted(found.axes) == pytest.approx(sorted(ellipse.axes), abs=1.5)


def test_feature_brightness_changes_nothing() -> None:
    image = drawn(Ellipse((147.0, 152.0), (130.0, 139.0), 20.0))
    dark = np.clip(image * 0.7, 0, 255).astype(np.uint8)
    first, second = find_opening(image), find_opening(dark)
    assert first is not None
    assert second is not None
    assert second.centre == pytest.approx(first.centre, abs=0.2)
    assert second.axes == pytest.approx(first.axes, abs=0.4)


def test_feature_takes_the_inner_of_two_borders() -> None:
    """A dark groove around the ring is as clean an ellipse as the opening."""
    opening = Ellipse((150.0, 150.0), (118.0, 134.0), 20.0)
    image = np.full((300, 300), 160, np.uint8)
    for scale, grey in ((1.95, 190), (1.2, 25), (1.1, 180), (1.0, 25), (0.45, 180)):
        axes = (scale * opening.axes[0], scale * opening.axes[1])
        cv2.ellipse(image, (opening.centre, axes, opening.angle), grey, -1)
    found = find_opening(image)
    assert found is not None
    assert sorted(found.axes) == pytest.approx(opening.axes, abs=1.5)


@pytest.mark.parametrize(
    'image',
    [
        np.full((96, 96), 128, np.uint8),
        np.zeros((96, 96), np.uint8),
        np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8),
        drawn(Ellipse((150.0, 150.0), (60.0, 60.0), 0.0)),  # a hole, not an opening
    ],
)
def test_feature_nothing_to_find(image: np.ndarray) -> None:
    assert find_opening(image) is None


def test_shape_whole_image() -> None:
    assert whole_image((200, 300)) == Ellipse((150.0, 100.0), (90.0, 90.0), 0.0)


def test_feature_place_by_hand() -> None:
    """Radii 20 along x and 10 along y; a quarter turn swaps them."""
    angles = np.array([0, np.pi / 2, np.pi])
    points = unit_points(angles, np.ones(3))
    placed = Ellipse((100.0, 50.0), (40.0, 20.0), 0.0).place(points)
    np.testing.assert_allclose(placed, [[120, 50], [100, 60], [80, 50]], atol=1e-4)
    turned = Ellipse((100.0, 50.0), (40.0, 20.0), 90.0).place(points)
    np.testing.assert_allclose(turned, [[110, 50], [100, 70], [90, 50]], atol=1e-4)


def test_feature_place_is_turned_by_a_turned_ellipse() -> None:
    """What the invariance rests on: a turned image turns the unit plane, no more."""
    turn = np.deg2rad(35)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    one = Ellipse((0.0, 0.0), (40.0, 24.0), 10.0).place(points)
    other = Ellipse((0.0, 0.0), (40.0, 24.0), 45.0).place(points @ rotation.T)
    np.testing.assert_allclose(other, one @ rotation.T, atol=1e-4)


def test_feature_sample_repeats_the_border() -> None:
    image = np.arange(9, dtype=np.float32).reshape(3, 3)
    pixels = np.array([[[1, 1], [0.5, 0], [-5, 0], [9, 9]]], np.float32)
    np.testing.assert_allclose(sample(image, pixels), [[4, 0.5, 0, 8]])
