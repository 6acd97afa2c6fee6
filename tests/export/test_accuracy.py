"""Accuracy on labelled images, of packages whose answers are known by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmdefect.deploy.runtime import PackageBackend, open_package
from mmdefect.evaluation import grouped_coco  # noqa: F401  slow to import
from mmdefect.export.accuracy import read_labelled
from tests.helpers.hand_package import hand_package

COLOURS = {'blue': (200, 30, 10), 'green': (10, 200, 30), 'red': (30, 10, 200)}
Open = Callable[..., PackageBackend]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def make(task: str, **spec: Any) -> PackageBackend:
        hand_package(tmp_path / 'package', task, **spec)
        return open_package(tmp_path / 'package', backend='onnxruntime', threads=1)

    return make


def paint(path: Path, colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((24, 40, 3), colour, np.uint8))


def paint_colours(root: Path) -> None:
    for name, colour in COLOURS.items():
        for number in range(2):
            paint(root / name / f'{number}.png', colour)


def test_feature_labels(opened: Open, tmp_path: Path) -> None:
    """One of six lies in the wrong folder; at a threshold red is never called."""
    root = tmp_path / 'images'
    paint_colours(root)
    paint(root / 'blue/1.png', COLOURS['green'])
    backend = opened('labels')
    known = read_labelled(root, backend.spec)
    assert known.measure == 'accuracy at the threshold'
    assert len(known.images) == 6
    assert known.measured(backend) == pytest.approx(5 / 6)
    backend = opened('labels', defective='red', thresholds={'red': 0.99})
    assert read_labelled(root, backend.spec).measured(backend) == pytest.approx(3 / 6)


def test_feature_maps(opened: Open, tmp_path: Path) -> None:
    """Bright images are anomalous: one of two defects is darker than the good one."""
    test = tmp_path / 'products/bottle/test'
    paint(test / 'good/0.png', (90, 90, 90))
    paint(test / 'crack/0.png', (200, 200, 200))
    paint(test / 'crack/1.png', (10, 10, 10))
    paint(tmp_path / 'products/another/test/good/0.png', (0, 0, 0))
    backend = opened('maps')
    known = read_labelled(tmp_path / 'products', backend.spec)
    assert known.measure == 'image AUROC'
    assert len(known.images) == 3
    assert known.measured(backend) == 0.5
    paint(test / 'crack/1.png', (100, 100, 100))
    assert known.measured(backend) == 1.0
    for path in (test / 'crack').iterdir():
        path.unlink()
    with pytest.raises(ValueError, match='good and defective images below test'):
        read_labelled(tmp_path / 'products', backend.spec)


def write_coco(path: Path, boxes: list[list[int]]) -> None:
    """One image of 40 x 24 pixels: the network sees it in 32 x 16."""
    annotations = [
        {'id': n, 'image_id': 7, 'category_id': 5, 'bbox': box, 'iscrowd': 0}
        for n, box in enumerate(boxes)
    ]
    coco = {
        'images': [{'id': 7, 'file_name': 'a.png', 'width': 40, 'height': 24}],
        'categories': [{'id': 4, 'name': 'crack'}, {'id': 5, 'name': 'dent'}],
        'annotations': annotations,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(coco), encoding='utf-8')


def test_feature_boxes(opened: Open, tmp_path: Path) -> None:
    """The first box lies on an object of the class that it is called."""
    paint(tmp_path / 'images/a.png', (250, 20, 0))
    path = tmp_path / 'coco/test.json'
    # x 2 to 10 and y 4 to 12 of the graph.
    write_coco(path, [[2, 6, 10, 12]])
    backend = opened('boxes')
    known = read_labelled(path, backend.spec, images=tmp_path / 'images')
    assert known.measure == 'AP50'
    assert known.measured(backend) == pytest.approx(1.0)
    assert known.measured(backend) == pytest.approx(1.0)  # nothing is kept
    write_coco(path, [[2, 6, 10, 12], [20, 1, 4, 4]])
    known = read_labelled(path, backend.spec, images=tmp_path / 'images')
    assert known.measured(backend) == pytest.approx(51 / 101)


def test_exception_labelled_images(opened: Open, tmp_path: Path) -> None:
    boxes, path = opened('boxes').spec, tmp_path / 'coco/test.json'
    write_coco(path, [])
    with pytest.raises(FileNotFoundError, match=r'missing are 1: .*coco/a\.png; say'):
        read_labelled(path, boxes)
    labels = opened('labels').spec
    with pytest.raises(FileNotFoundError, match='there is no folder'):
        read_labelled(tmp_path / 'nowhere', labels)
    (tmp_path / 'few').mkdir()
    with pytest.raises(ValueError, match='expected a folder of images a class, blue'):
        read_labelled(tmp_path / 'few', labels)
    paint(tmp_path / 'few/bleu/0.png', COLOURS['blue'])
    with pytest.raises(ValueError, match=r"class 'bleu'.*did you mean blue"):
        read_labelled(tmp_path / 'few', labels)
