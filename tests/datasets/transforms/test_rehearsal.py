"""Old objects in new images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes

from mmdefect.datasets.boxes.memory_file import Memory, Remembered, write_memory
from mmdefect.datasets.transforms.rehearsal import RehearseCrops

SEEN = ['dent', 'hole', 'rust']


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dent of 30 x 20 px, a hole of 4 x 4 px, of one colour each."""
    crops, files = [], []
    for name, (width, height), grey in (('dent', (30, 20), 200), ('hole', (4, 4), 90)):
        pixels = np.full((height, width, 3), grey, np.uint8)
        box = {'bbox': [0, 0, width, height], 'class': name, 'ignore': 0}
        about = {'kept_for': name, 'step': 0, 'source': f'a.png#{grey}', 'bytes': 0}
        size = {'width': width, 'height': height}
        crops.append(Remembered(**about, **size, boxes=[box]))
        files.append(bytes(cv2.imencode('.png', pixels)[1]))
    settings = {'step': 0, 'classes': SEEN[:2], 'budget': {'crops': 1}, 'seed': 0}
    write_memory(tmp_path / 'memory', Memory(**settings, images=crops), files)
    return tmp_path / 'memory'


def results(*boxes: tuple[float, ...], size: tuple[int, int] = (60, 80)) -> dict:
    return {
        'img': np.full((*size, 3), 10, np.uint8),
        'gt_bboxes': HorizontalBoxes(np.array(boxes, np.float32).reshape(-1, 4)),
        'gt_bboxes_labels': np.full(len(boxes), 2, np.int64),
        'gt_ignore_flags': np.zeros(len(boxes), bool),
    }


def transform(folder: Path, **more: Any) -> RehearseCrops:
    about = {'classes': SEEN[:2], 'seen_classes': SEEN}
    return RehearseCrops(folder=str(folder), **about, **more)


def overlap(boxes: np.ndarray) -> bool:
    """Whether two of the boxes have a point in common."""
    return any(
        min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])
        for k, a in enumerate(boxes)
        for b in boxes[:k]
    )


def test_feature_mixup(folder: Path) -> None:
    """Up to two crops where no box is, blended; the new box stays as it is."""
    mix = transform(folder, mixup=1, mosaic=0)
    np.random.seed(0)
    for _ in range(20):
        found = mix.transform(results((5, 5, 30, 30)))
        boxes = found['gt_bboxes'].tensor.numpy()
        assert boxes[0].tolist() == [5, 5, 30, 30]
        assert 1 <= len(boxes) <= 3
        assert found['gt_bboxes_labels'].tolist()[0] == 2
        assert set(found['gt_bboxes_labels'].tolist()[1:]) <= {0, 1}
        assert len(found['gt_ignore_flags']) == len(boxes)
        assert not overlap(boxes)
        assert (found['img'][5:30, 5:30] == 10).all()
        assert found.get('rehearsed', False) is (len(boxes) > 1)
        for (x, y, right, bottom), label in zip(
            boxes[1:].astype(int), found['gt_bboxes_labels'][1:], strict=True
        ):
            inside = np.unique(found['img'][y:bottom, x:right])
            assert len(inside) == 1
            assert 10 <= inside[0] <= (200, 90)[label]


def test_feature_small_crops_grow(folder: Path) -> None:
    """A hole of 4 px becomes 0.4 to 0.6 of the image; a dent stays."""
    mix = transform(folder, mixup=1, mosaic=0)
    np.random.seed(1)
    sides: dict[int, set[float]] = {0: set(), 1: set()}
    for _ in range(20):
        found = mix.transform(results())
        for box, label in zip(
            found['gt_bboxes'].tensor.numpy(), found['gt_bboxes_labels'], strict=True
        ):
            sides[int(label)].add(float(box[3] - box[1]))
    assert sides[0] == {20}
    assert 23 <= min(sides[1]) < max(sides[1]) <= 37


def test_feature_no_room(folder: Path) -> None:
    """One box fills the image: it stays as it is."""
    mix = transform(folder, mixup=1, mosaic=0)
    found = mix.transform(results((0, 0, 79, 59)))
    assert len(found['gt_bboxes']) == 1
    assert 'rehearsed' not in found


def test_feature_mosaic(folder: Path) -> None:
    """Four crops that meet, on grey; every object is labelled."""
    mosaic = transform(folder, mixup=0, mosaic=1)
    np.random.seed(0)
    for _ in range(10):
        found = mosaic.transform(results((5, 5, 30, 30)))
        boxes = found['gt_bboxes'].tensor.numpy().astype(int)
        assert found['replayed'] is True
        assert len(boxes) == 4
        assert not overlap(boxes)
        assert (boxes >= 0).all()
        assert (boxes <= [80, 60, 80, 60]).all()
        for (x, y, right, bottom), label in zip(
            boxes, found['gt_bboxes_labels'], strict=True
        ):
            assert (found['img'][y:bottom, x:right] == (200, 90)[label]).all()
            found['img'][y:bottom, x:right] = 114
        assert (found['img'] == 114).all()


def test_feature_shares(folder: Path) -> None:
    """A quarter each, and half as they are."""
    both = transform(folder)
    np.random.seed(0)
    found = [both.transform(results((5, 5, 30, 30))) for _ in range(400)]
    shares = [
        sum(r.get(mark, False) for r in found) for mark in ('rehearsed', 'replayed')
    ]
    assert shares == pytest.approx([100, 100], abs=25)


def test_exception_shares(folder: Path) -> None:
    with pytest.raises(ValueError, match=r'mixup \+ mosaic=1.5: expected at least 0'):
        transform(folder, mixup=1, mosaic=0.5)
