from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmdefect.testing.textures import (
    boxes_touch,
    crop_to_content,
    free_spot,
    smooth_noise,
    steel_texture,
    write_picture,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_shape() -> None:
    texture = steel_texture(rng(), 64)
    assert texture.shape == (64, 64)
    assert 80 < texture.mean() < 170
    assert texture.std() > 5


def test_feature_noise_is_normalised() -> None:
    noise = smooth_noise(rng(), 64, (4, 1))
    assert abs(noise.mean()) < 1e-5
    assert noise.std() == pytest.approx(1, abs=1e-4)


def test_feature_crop_is_tight() -> None:
    delta = np.zeros((9, 9))
    delta[2, 3], delta[5, 7], delta[8, 8] = -20, 20, 3
    assert crop_to_content(delta, 10).shape == (4, 5)


def test_exception_invisible_drawing() -> None:
    with pytest.raises(ValueError, match='changes no pixel by more than 10 grey'):
        crop_to_content(np.ones((4, 4)), 10)


def test_feature_free_spot_keeps_its_distance() -> None:
    generator = rng()
    taken = [(20, 20, 40, 40)]
    spots = [free_spot(generator, (10, 8), 64, taken, gap=3) for _ in range(300)]
    boxes = [spot for spot in spots if spot]
    assert 0 < len(boxes) < 300
    for x1, y1, x2, y2 in boxes:
        assert (x2 - x1, y2 - y1) == (8, 10)
        assert 0 < x1 < x2 < 64
        assert 0 < y1 < y2 < 64
        assert x1 >= 43 or x2 <= 17 or y1 >= 43 or y2 <= 17
    assert free_spot(generator, (63, 10), 64, [], gap=0) is None  # does not fit


def test_feature_boxes_touch() -> None:
    assert boxes_touch((0, 0, 5, 5), (6, 0, 9, 5), gap=2)
    assert not boxes_touch((0, 0, 5, 5), (6, 0, 9, 5), gap=1)


@pytest.mark.parametrize(('channels', 'mode'), [(1, 'L'), (3, 'RGB')])
def test_feature_jpeg_channels(tmp_path: Path, channels: int, mode: str) -> None:
    write_picture(tmp_path / 'a.jpg', np.full((8, 8), 300.0), channels=channels)
    image = Image.open(tmp_path / 'a.jpg')
    assert image.mode == mode
    assert np.asarray(image).min() == 255


def test_exception_a_folder_of_that_name(tmp_path: Path) -> None:
    (tmp_path / 'a.jpg').mkdir()
    with pytest.raises(OSError, match=r'a\.jpg: expected a file that can be written'):
        write_picture(tmp_path / 'a.jpg', np.zeros((8, 8)))
