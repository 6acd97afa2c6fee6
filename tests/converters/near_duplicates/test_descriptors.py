from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdefect.converters.near_duplicates import descriptors
from mmdefect.converters.near_duplicates.descriptors import (
    ANGLES,
    RINGS,
    describe,
    describe_files,
    load_descriptors,
    read_grey,
    save_descriptors,
    unroll,
)
from mmdefect.converters.near_duplicates.opening import whole_image
from tests.converters.near_duplicates.conftest import Toy


def test_shape(toy: Toy) -> None:
    assert toy.found.maps.shape == (32, RINGS, ANGLES)
    assert toy.found.maps.dtype == np.float16
    assert toy.found.openings.shape == (32, 5)
    assert toy.found.guessed == []
    norms = np.linalg.norm(toy.found.maps.astype(np.float64), axis=(1, 2))
    np.testing.assert_allclose(norms, 1, atol=1e-2)
    # What all parts have in common, the mean of every ring, is gone.
    means = toy.found.maps.astype(np.float64).mean(axis=2)
    np.testing.assert_allclose(means, 0, atol=1e-4)


def test_feature_opening(toy: Toy) -> None:
    x, y, width, height, _ = toy.found.openings[3]
    opening = toy.found.opening(3)
    assert opening.centre == (x, y)
    assert opening.axes == (width, height)
    # 0.47 half sides of 64 px, drawn in toy_casting.py.
    assert width == pytest.approx(0.47 * 64, abs=2)


def test_feature_a_quarter_turn_shifts_the_map() -> None:
    """Exact to the pixel grid: no interpolation is in between."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (101, 101), np.uint8)
    middle = whole_image((100, 100))._replace(centre=(50.0, 50.0))
    rings = unroll(image, middle)
    turned = unroll(np.rot90(image), middle)  # against the clock, y points down
    np.testing.assert_allclose(np.roll(turned, ANGLES // 2, axis=1), rings, atol=1)
    mirrored = unroll(image[::-1], middle)
    np.testing.assert_allclose(np.roll(mirrored[:, ::-1], 1, axis=1), rings, atol=1)


def test_feature_brightness_changes_little(toy: Toy) -> None:
    image = read_grey(toy.paths[0])
    bright = np.clip(image * 1.15, 0, 255).astype(np.uint8)
    opening = toy.found.opening(0)
    overlap = (describe(image, opening) * describe(bright, opening)).sum()
    assert overlap > 0.99


def test_feature_an_even_image_has_no_descriptor() -> None:
    assert not describe(np.full((64, 64), 90, np.uint8)).any()


def test_feature_guessed_images_are_named(tmp_path: Path, toy: Toy) -> None:
    cv2.imwrite(str(tmp_path / 'even.png'), np.full((64, 64), 90, np.uint8))
    found = describe_files([toy.paths[0], tmp_path / 'even.png'])
    assert found.guessed == [1]


def test_feature_cache(tmp_path: Path, toy: Toy, monkeypatch) -> None:
    path = tmp_path / 'deep/cache.npz'
    hashes = [path.name for path in toy.paths]
    save_descriptors(path, toy.found, hashes)
    stored = load_descriptors(path, hashes)
    assert stored is not None
    np.testing.assert_array_equal(stored.maps, toy.found.maps)
    np.testing.assert_array_equal(stored.openings, toy.found.openings)
    # Other images, in number or in order.
    assert load_descriptors(path, hashes[1:]) is None
    assert load_descriptors(path, hashes[::-1]) is None
    assert load_descriptors(tmp_path / 'none.npz', hashes) is None
    monkeypatch.setattr(descriptors, '_VERSION', -1)  # of other code
    assert load_descriptors(path, hashes) is None


def test_exception_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='expected at least one image'):
        describe_files([])
    (tmp_path / 'bad.jpeg').write_bytes(b'no image')
    for name in ('bad.jpeg', 'missing.jpeg'):
        with pytest.raises(ValueError, match=f'{name}: expected an image'):
            describe_files([tmp_path / name])
