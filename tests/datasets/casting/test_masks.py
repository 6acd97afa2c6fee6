from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdefect.datasets.casting.layout import CastingImage
from mmdefect.datasets.casting.masks import match_masks, read_defect_mask

IMAGES = [
    CastingImage('train/def_front/a.jpeg', 0, 'train'),
    CastingImage('train/def_front/b.jpeg', 0, 'train'),
    CastingImage('test/def_front/b.jpeg', 0, 'test'),
    CastingImage('test/def_front/c.jpeg', 0, 'test'),
    CastingImage('test/ok_front/d.jpeg', 1, 'test'),
]


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.zeros((4, 4), np.uint8))


def test_feature_flat_and_nested(tmp_path: Path) -> None:
    put(tmp_path, 'a_mask.png', 'c_color_mask.png', 'test/def_front/b_mask.png')
    assert match_masks(tmp_path, IMAGES) == {
        'train/def_front/a.jpeg': tmp_path / 'a_mask.png',
        'test/def_front/c.jpeg': tmp_path / 'c_color_mask.png',
        'test/def_front/b.jpeg': tmp_path / 'test/def_front/b_mask.png',
    }


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['x_mask.png'], r'masks without a defective image \(1: .*/x_mask\.png\)'),
        (['d_mask.png'], 'masks without a defective image'),  # ok parts have no defect
        (['val/def_front/a_mask.png'], 'masks without a defective image'),
        (['b_mask.png'], 'may be train/def_front/b.jpeg or test/def_front/b.jpeg'),
        (['a_color_mask.png', 'a_mask.png'], 'beside a_color_mask.png of the same'),
        ([], 'there is no PNG in'),
    ],
)
def test_exception_unmatched(tmp_path: Path, names: list, message: str) -> None:
    put(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        match_masks(tmp_path, IMAGES)


def test_exception_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='there is no mask folder'):
        match_masks(tmp_path / 'none', IMAGES)


def test_feature_read_masks(tmp_path: Path) -> None:
    grey = np.array([[0, 1], [255, 0]], np.uint8)
    cv2.imwrite(str(tmp_path / 'a_mask.png'), grey)
    found = read_defect_mask(tmp_path / 'a_mask.png')
    assert found.dtype == np.uint8
    assert found.tolist() == [[0, 0], [1, 0]]  # grey levels: from half on
    colour = np.full((2, 2, 3), 255, np.uint8)
    colour[0, 1] = (255, 0, 255)  # BGR: green is zero
    colour[1, 0] = (0, 1, 0)
    cv2.imwrite(str(tmp_path / 'b_color_mask.png'), colour)
    assert read_defect_mask(tmp_path / 'b_color_mask.png').tolist() == [[0, 1], [0, 0]]
    cv2.imwrite(str(tmp_path / 'c_mask.png'), 255 - colour)
    assert read_defect_mask(tmp_path / 'c_mask.png').tolist() == [[0, 1], [1, 0]]


def test_exception_read_masks(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'a_color_mask.png'), np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match='has one channel: expected colours'):
        read_defect_mask(tmp_path / 'a_color_mask.png')
    (tmp_path / 'b_mask.png').write_bytes(b'x')
    with pytest.raises(ValueError, match=r'annot read the mask .*b_mask\.png'):
        read_defect_mask(tmp_path / 'b_mask.png')
