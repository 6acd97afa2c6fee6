from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmdefect.datasets.transforms.anomaly import (
    AnomalyFlipRotate,
    LoadAnomalyImage,
    LoadAnomalyMask,
    PackAnomalyInputs,
    reduce_any,
    reduce_nearest,
)
from mmdefect.registry import TRANSFORMS
from mmdefect.structures import AnomalySample
from mmdefect.utils.images import to_bgr


@pytest.fixture(autouse=True)
def fixed_numbers() -> None:
    np.random.seed(0)


def info_of(path: Path, *masks: Path, label: int = 1) -> dict[str, Any]:
    return {
        'img_path': str(path),
        'mask_paths': [str(mask) for mask in masks],
        'has_mask': label == 0 or bool(masks),
        'class_name': 'nut',
        'class_label': 3,
        'defect': 'hole' if label else 'good',
        'gt_label': label,
    }


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A red image, 4 high and 6 wide."""
    return save(tmp_path / 'image.png', np.full((4, 6, 3), (200, 20, 10), np.uint8))


def masked(tmp_path: Path, name: str, *points: tuple[int, int]) -> Path:
    pixels = np.zeros((4, 6), np.uint8)
    for y, x in points:
        pixels[y, x] = 1  # VisA's masks hold small integers
    return save(tmp_path / name, pixels)


def test_smoke_pipeline(tmp_path: Path, image: Path) -> None:
    results: Any = info_of(image, masked(tmp_path, 'mask.png', (1, 2)))
    for cfg in (
        {'type': 'mmdefect.LoadAnomalyImage'},
        {'type': 'Resize', 'scale': (8, 8), 'backend': 'pillow'},
        {'type': 'mmdefect.LoadAnomalyMask'},
        {'type': 'mmdefect.AnomalyFlipRotate'},
        {'type': 'mmdefect.PackAnomalyInputs'},
    ):
        results = TRANSFORMS.build(cfg)(results)
    sample = results['data_samples']
    assert isinstance(sample, AnomalySample)
    assert (sample.gt_label, sample.gt_label.dtype) == (torch.tensor(1), torch.int64)
    assert sample.gt_mask.dtype == torch.bool
    assert sample.gt_mask.nonzero().tolist() == [[1, 2]]
    keys = 'img_path class_name class_label defect ori_shape img_shape'
    assert set(sample.metainfo_keys()) == set(keys.split())
    assert (sample.ori_shape, sample.img_shape) == ((4, 6), (8, 8))
    assert results['inputs'].shape == (3, 8, 8)
    assert results['inputs'][:, 0, 0].tolist() == [10, 20, 200]


GREY = np.arange(24, dtype=np.uint8).reshape(4, 6)


@pytest.mark.parametrize(
    ('name', 'stored', 'expected'),
    [
        ('grey.png', GREY, np.stack([GREY] * 3, -1)),
        ('rgb.bmp', np.full((4, 6, 3), (1, 2, 3), np.uint8), (3, 2, 1)),
        ('rgba.png', np.full((4, 6, 4), (1, 2, 3, 0), np.uint8), (3, 2, 1)),
        ('deep.png', np.full((4, 6), 65535, np.uint16), 255),
        ('deep.tif', np.full((4, 6), 257 * 7 + 128, np.uint16), 7),
        ('deeper.tif', np.full((4, 6), 257 * 7 + 129, np.uint16), 8),
        ('bits.png', np.ones((4, 6), bool), 255),
    ],
)
def test_feature_any_file_becomes_bgr(
    tmp_path: Path, name: str, stored: np.ndarray, expected: Any
) -> None:
    info = {**info_of(save(tmp_path / name, stored)), 'bits': 16}
    results = LoadAnomalyImage()(info)
    assert results['img'].dtype == np.uint8
    assert results['img'].flags['C_CONTIGUOUS']
    assert results['ori_shape'] == results['img_shape'] == (4, 6)
    wanted = np.broadcast_to(np.asarray(expected, np.uint8), (4, 6, 3))
    np.testing.assert_array_equal(results['img'], wanted)


def test_exception_unusual_pixels() -> None:
    for shape, kind, message in (
        ((4, 4), np.float32, '1 channels of float32'),
        ((4, 4, 2), np.uint8, '2 channels of uint8'),
    ):
        with pytest.raises(ValueError, match=f'{message}.*expected 1, 3 or 4'):
            to_bgr(np.zeros(shape, kind))


def mask_of(image: Path, *masks: Path, label: int = 1, **kwargs: Any) -> dict:
    loaded = LoadAnomalyImage()(info_of(image, *masks, label=label))
    return LoadAnomalyMask(**kwargs)(loaded)


def test_feature_union_of_masks(tmp_path: Path, image: Path) -> None:
    masks = [masked(tmp_path, f'{i}.png', (i, i)) for i in range(2)]
    found = mask_of(image, *masks)['gt_mask']
    assert np.argwhere(found).tolist() == [[0, 0], [1, 1]]
    assert found.dtype == np.uint8


def test_feature_colour_mask_without_its_alpha(tmp_path: Path, image: Path) -> None:
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[2, 3, 1] = 9
    found = mask_of(image, save(tmp_path / 'm.png', pixels))['gt_mask']
    assert np.argwhere(found).tolist() == [[2, 3]]


def test_feature_good_and_unknown(image: Path) -> None:
    assert mask_of(image, label=0, size=(2, 3))['gt_mask'].tolist() == [[0] * 3] * 2
    results = mask_of(image)
    assert 'gt_mask' not in results
    assert 'gt_mask' not in PackAnomalyInputs()(results)['data_samples']


def test_feature_size_states_the_resolution(tmp_path: Path, image: Path) -> None:
    path = masked(tmp_path, 'm.png', (0, 0))
    assert mask_of(image, path)['gt_mask'].shape == (4, 6)
    kept = mask_of(image, path, size=(2, 2))['gt_mask']
    lost = mask_of(image, path, size=(2, 2), reduce='nearest')['gt_mask']
    assert kept.tolist() == [[1, 0], [0, 0]]
    assert lost.tolist() == [[0, 0], [0, 0]]


def reduce_by_hand(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Every pixel of the result, by the overlap of areas."""
    (height, width), (h, w) = mask.shape, size
    out = np.zeros(size, np.uint8)
    for y, x in np.ndindex(*size):
        for r, c in np.argwhere(mask):
            rows = r * h < (y + 1) * height and (r + 1) * h > y * height
            columns = c * w < (x + 1) * width and (c + 1) * w > x * width
            out[y, x] |= rows and columns
    return out


@pytest.mark.parametrize(
    ('shape', 'size'),
    [((12, 12), (4, 4)), ((9, 14), (4, 5)), ((5, 7), (8, 21)), ((6, 6), (6, 6))],
)
def test_feature_reduce_any(shape: tuple[int, int], size: tuple[int, int]) -> None:
    mask = (np.random.default_rng(0).random(shape) < 0.08).astype(np.uint8)
    assert mask.any()
    np.testing.assert_array_equal(reduce_any(mask, size), reduce_by_hand(mask, size))


@pytest.mark.parametrize(
    ('point', 'found'),
    [
        ((1, 1), [[1, 0, 0], [0, 0, 0]]),
        ((3, 5), [[0, 0, 0], [0, 0, 1]]),
        ((0, 1), None),
    ],
)
def test_feature_reduce_nearest(point: tuple[int, int], found: list | None) -> None:
    """Every second pixel of 4x6 is looked at: the second of each pair."""
    mask = np.zeros((4, 6), np.uint8)
    mask[point] = 200
    assert reduce_nearest(mask, (2, 3)).tolist() == (found or [[0] * 3] * 2)


def test_exception_mask_of_another_size(tmp_path: Path, image: Path) -> None:
    path = save(tmp_path / 'm.png', np.zeros((6, 4), np.uint8))
    with pytest.raises(ValueError, match=r'm\.png has 6x4 .*expected 4x6 as .*image'):
        mask_of(image, path)


def test_exception_mask_before_image(image: Path) -> None:
    with pytest.raises(ValueError, match='put LoadAnomalyImage before it'):
        LoadAnomalyMask()(info_of(image))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'reduce': 'mean'}, "reduce='mean': expected one of any, nearest"),
        ({'size': (0, 4)}, r'size=\(0, 4\): expected'),
        ({'size': (4,)}, r'size=\(4,\): expected'),
    ],
)
def test_exception_arguments(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LoadAnomalyMask(**kwargs)


def marked(height: int = 4, width: int = 4) -> dict[str, Any]:
    """Image and mask with the same one pixel."""
    mask = np.zeros((height, width), np.uint8)
    mask[0, 1] = 1
    return {'img': np.stack([mask * 255] * 3, -1), 'gt_mask': mask}


def draws(transform: AnomalyFlipRotate, **size: int) -> set[tuple[int, ...]]:
    places = set()
    for _ in range(60):
        results = transform(marked(**size))
        np.testing.assert_array_equal(results['img'][..., 0], 255 * results['gt_mask'])
        places.add(tuple(np.argwhere(results['gt_mask'])[0].tolist()))
    return places


@pytest.mark.parametrize(
    ('switch', 'places'),
    [
        ('hflip', {(0, 1), (0, 2)}),
        ('vflip', {(0, 1), (3, 1)}),
        ('rotate', {(0, 1), (2, 0), (3, 2), (1, 3)}),
    ],
)
def test_feature_each_switch(switch: str, places: set) -> None:
    transform = AnomalyFlipRotate(**{switch: True})
    assert transform.is_random
    assert draws(transform) == places


def test_feature_off_is_identity() -> None:
    transform = AnomalyFlipRotate()
    assert not transform.is_random
    before, results = marked(), marked()
    state = np.random.get_state()[1].copy()
    assert transform(results) is results
    np.testing.assert_array_equal(results['img'], before['img'])
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_feature_an_oblong_image_keeps_its_shape_and_a_mask_is_optional() -> None:
    transform = AnomalyFlipRotate(rotate=True)
    assert draws(transform, height=4, width=6) == {(0, 1), (3, 4)}
    assert set(transform({'img': marked()['img']})) == {'img'}  # without a mask


@pytest.mark.parametrize(
    'image', [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)]
)
def test_exception_no_colour_image_of_8_bits(image: np.ndarray) -> None:
    results = {**info_of(Path('a.png')), 'img': image}
    with pytest.raises(ValueError, match=r'a\.png is .*expected uint8'):
        PackAnomalyInputs()(results)


def test_feature_meta_keys(image: Path) -> None:
    results = LoadAnomalyImage()(info_of(image, label=0))
    sample = PackAnomalyInputs(meta_keys=['defect'])(results)['data_samples']
    assert sample.metainfo == {'defect': 'good'}
