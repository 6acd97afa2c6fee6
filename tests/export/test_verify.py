"""When a package is taken for its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput, Output
from mmdefect.deploy.spec import ModelSpec
from mmdefect.export.verify import NotEqualError, Tolerance, compare

IMAGES = [np.zeros((20, 30, 3), np.uint8)] * 2
BOXES = BoxOutput(
    boxes=np.array([[1, 2, 9, 8], [3, 3, 7, 9], [0, 0, 5, 5]], np.float32),
    scores=np.array([0.8, 0.6, 0.6], np.float32),
    labels=np.array([0, 1, 1]),
)
MAP = MapOutput(anomaly_map=np.full((20, 30), 2.0, np.float32), score=4.0)
LABELS = LabelOutput(probabilities=np.array([0.3, 0.7], np.float32))
SPECS = {
    BoxOutput: ModelSpec(task='boxes', classes=('a', 'b'), default_threshold=0.7),
    MapOutput: ModelSpec(task='maps', classes=('a',), default_threshold=4.0),
    LabelOutput: ModelSpec(
        task='labels', classes=('a', 'b'), defective='a', thresholds={'a': 0.3}
    ),
}


class Says:
    """A backend that always says the same."""

    name = 'said'

    def __init__(self, output: Output) -> None:
        self.output = output
        self.spec = SPECS[type(output)]

    def __call__(self, images: Sequence[np.ndarray]) -> list[Output]:
        return [self.output for _ in images]


def check(one: Output, other: Output, **tolerance: float) -> dict:
    given = Tolerance(**tolerance)
    return compare(Says(one), Says(other), IMAGES, tolerance=given)


def test_feature_equal() -> None:
    found = check(BOXES, BOXES)
    assert found['detections'] == 6
    assert found['largest_difference'] == {'scores': 0, 'boxes': 0}
    assert (found['runtime'], found['images']) == ('said', 2)
    assert check(MAP, MAP)['largest_difference'] == {'maps': 0}
    assert check(LABELS, LABELS)['largest_difference'] == {'scores': 0}
    none = BoxOutput(
        boxes=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        labels=np.zeros(0, np.int64),
    )
    assert check(none, none)['detections'] == 0


def test_feature_equal_scores_change_places() -> None:
    order = [0, 2, 1]
    swapped = BoxOutput(
        boxes=BOXES.boxes[order] + np.float32(0.04),
        scores=BOXES.scores[order],
        labels=BOXES.labels[order],
    )
    worst = check(BOXES, swapped)['largest_difference']
    assert worst['boxes'] == pytest.approx(0.04, abs=1e-6)


def test_feature_maps_relative_to_the_largest() -> None:
    near = replace(MAP, anomaly_map=MAP.anomaly_map + np.float32(3e-4))
    assert check(MAP, near)['largest_difference']['maps'] == pytest.approx(7.5e-5, 0.01)


@pytest.mark.parametrize(
    ('one', 'other', 'match'),
    [
        (
            BOXES,
            replace(BOXES, boxes=BOXES.boxes + np.float32(0.2)),
            r'^image 1: a box of the model \(label 0, score 0\.8000\) is none of',
        ),
        (
            BOXES,
            replace(BOXES, scores=BOXES.scores + np.float32(0.01)),
            'a box of the model',
        ),
        (BOXES, replace(BOXES, labels=np.array([0, 0, 1])), 'a box of the model'),
        (
            BOXES,
            BoxOutput(
                boxes=BOXES.boxes[:2], scores=BOXES.scores[:2], labels=BOXES.labels[:2]
            ),
            'image 1 has 3 boxes of the model and 2 of the package',
        ),
        (
            MAP,
            replace(MAP, anomaly_map=MAP.anomaly_map + np.float32(1e-3)),
            'image 1: maps of the package differ by 0.00025: expected at most 0.0001',
        ),
        (MAP, replace(MAP, score=4.1), 'image 1: maps of the package differ'),
        (MAP, replace(MAP, score=np.nan), 'image 1: maps of the package differ by nan'),
        (MAP, replace(MAP, score=3.99999), 'is defective for the model and ok for the'),
        (
            LABELS,
            LabelOutput(probabilities=np.array([0.29999, 0.70001], np.float32)),
            'its score lies at the threshold',
        ),
        (
            LABELS,
            LabelOutput(probabilities=np.array([0.31, 0.69], np.float32)),
            'image 1: scores of the package differ by 0.01',
        ),
    ],
)
def test_exception_unequal(one: Output, other: Output, match: str) -> None:
    with pytest.raises(NotEqualError, match=match):
        check(one, other)


def test_exception_tolerance() -> None:
    with pytest.raises(ValueError, match=r'^tolerance\.boxes=-1: expected at least 0'):
        Tolerance(boxes=-1)
