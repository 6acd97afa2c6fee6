from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose, RandomFlip, Resize
from mmpretrain.datasets.transforms import PackInputs
from PIL import Image

from mmdefect.datasets.transforms.index_mask import (
    LoadIndexMask,
    ids_of,
    is_binary,
    read_mask,
)

IDS = np.array([[0, 1, 2], [3, 0, 126]], np.uint8)


def save(path: Path, pixels: np.ndarray) -> str:
    Image.fromarray(pixels).save(path)
    return str(path)


def load(path: str, *, legacy: bool = False, **info: Any) -> dict[str, Any]:
    return LoadIndexMask(legacy=legacy)({'mask_path': path, **info})


def test_smoke(tmp_path: Path) -> None:
    found = load(save(tmp_path / 'a.png', IDS))
    assert found['gt_seg_map'].dtype == np.uint8
    assert found['gt_seg_map'].tolist() == [[0, 255, 255], [255, 0, 255]]
    assert found['gt_label'].tolist() == [0]
    assert repr(LoadIndexMask(legacy=True)) == 'LoadIndexMask(legacy=True)'


@pytest.mark.parametrize(
    ('object_ids', 'expected', 'label'),
    [
        ((1,), [[0, 255, 0], [0, 0, 0]], 0),
        ((2, 126), [[0, 0, 255], [0, 0, 255]], 0),
        ((7,), [[0, 0, 0], [0, 0, 0]], 1),
    ],
)
def test_feature_target_ids(
    tmp_path: Path, object_ids: tuple, expected: list, label: int
) -> None:
    found = load(save(tmp_path / 'a.png', IDS), object_ids=object_ids)
    assert found['gt_seg_map'].tolist() == expected
    assert found['gt_label'].tolist() == [label]


def test_feature_binary_masks_hold_the_id_one(tmp_path: Path) -> None:
    path = save(tmp_path / 'a.png', np.array([[0, 255]], np.uint8))
    assert load(path)['gt_seg_map'].tolist() == [[0, 255]]
    assert load(path, object_ids=(1,))['gt_seg_map'].tolist() == [[0, 255]]
    assert load(path, object_ids=(2,))['gt_seg_map'].tolist() == [[0, 0]]


def test_feature_empty_and_full_masks() -> None:
    blank, full = np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)
    assert not is_binary(blank)
    assert is_binary(full)
    assert ids_of(blank).max() == 0
    assert ids_of(full).tolist() == [[1, 1], [1, 1]]


def test_feature_label_of_the_data_set_stays(tmp_path: Path) -> None:
    assert load(save(tmp_path / 'a.png', IDS), gt_label=1)['gt_label'] == 1


@pytest.mark.parametrize('mode', ['L', 'P', 'RGB', '1'])
def test_feature_one_channel_or_three_equal_ones(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    if mode == 'P':
        image.putpalette([9, 9, 9, 200, 10, 10])  # its indices count, not its colours
    elif mode == 'RGB':
        image = image.convert('RGB')
    elif mode == '1':
        image = Image.fromarray(np.array([[False, True], [True, False]]))
    image.save(tmp_path / 'a.png')
    with Image.open(tmp_path / 'a.png') as saved:
        assert saved.mode == mode
    assert read_mask(tmp_path / 'a.png').tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ('pixels', 'message'),
    [
        (np.array([[0, 1], [300, 0]], np.uint16), 'has 16 or more bits: expected one'),
        (np.zeros((2, 2, 4), np.uint8), 'has RGBA: expected one channel of 8 bits'),
        (np.array([[[0, 0, 255]]], np.uint8), 'has three different channels: expected'),
    ],
)
def test_exception_format(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    path = save(tmp_path / 'a.png', pixels)
    for legacy in (False, True):
        with pytest.raises(ValueError, match=message):
            load(path, legacy=legacy)


@pytest.mark.parametrize('values', [[0, 127], [0, 128, 255], [1, 255]])
def test_exception_grey_values_unless_legacy(tmp_path: Path, values: list) -> None:
    path = save(tmp_path / 'a.png', np.array([values], np.uint8))
    with pytest.raises(ValueError, match=r'a\.png holds other values than class ids'):
        load(path)
    expected = [255 if value else 0 for value in values]
    assert load(path, legacy=True)['gt_seg_map'].tolist() == [expected]


def test_exception_legacy_and_target_classes(tmp_path: Path) -> None:
    path = save(tmp_path / 'a.png', IDS)
    with pytest.raises(
        ValueError, match=r'legacy=True and object_ids=\(1,\): expected one of both'
    ):
        load(path, legacy=True, object_ids=(1,))


def test_exception_another_size(tmp_path: Path) -> None:
    path = save(tmp_path / 'a.png', IDS)
    with pytest.raises(ValueError, match=r'a\.png is 3x2 and its image b\.jpg 2x3'):
        load(path, img=np.zeros((3, 2, 3), np.uint8), img_path='b.jpg')


@pytest.mark.parametrize('content', [None, b'', b'no image', 'truncated'])
def test_exception_unreadable(tmp_path: Path, content: Any) -> None:
    path = tmp_path / 'a.png'
    if content == 'truncated':
        noise = np.random.default_rng(0).integers(0, 9, (64, 64))
        save(path, noise.astype(np.uint8))
        path.write_bytes(path.read_bytes()[:-600])
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r'annot read the mask .*a\.png'):
        read_mask(path)


def test_feature_mmcv_transforms_move_the_mask_along(tmp_path: Path) -> None:
    """And mmpretrain's PackInputs packs it, with a label that is a tensor."""
    mask = np.zeros((4, 6), np.uint8)
    mask[0, 1] = 1
    info = {
        'mask_path': save(tmp_path / 'a.png', mask),
        'img': np.repeat(mask[..., None] * 200, 3, axis=2),
        'img_shape': (4, 6),
    }
    for keys in (('gt_seg_map',), ('gt_label', 'gt_seg_map')):
        pipeline = Compose(
            [
                LoadIndexMask(),
                RandomFlip(prob=1.0, direction='horizontal'),
                Resize(scale=(12, 8), interpolation='nearest'),
                PackInputs(algorithm_keys=keys),
            ]
        )
        packed = pipeline(dict(info))
        sample = packed['data_samples']
        expected = np.zeros((8, 12), np.uint8)
        expected[:2, 8:10] = 255
        np.testing.assert_array_equal(sample.gt_seg_map, expected)
        seen = packed['inputs'][0].numpy() > 0
        np.testing.assert_array_equal(seen, expected > 0)
        assert torch.equal(sample.gt_label, torch.tensor([0]))
