"""Thresholds of boxes: by hand, by brute force, matching as COCO's evaluator does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor

from mmdefect.functional import box_cost_threshold, choose_thresholds, match_boxes
from mmdefect.functional.box_matching import HIT, IGNORED


def drawn(seed: int, *, images: int = 8, classes: int = 2) -> tuple[list, list]:
    """Annotated boxes, and detections near most of them and elsewhere."""
    rng = np.random.default_rng(seed)
    detections, truths = [], []
    for _ in range(images):
        number = int(rng.integers(0, 5))
        corner, side = rng.uniform(0, 60, (number, 2)), rng.uniform(8, 20, (number, 2))
        real = np.hstack([corner, corner + side])
        names = rng.integers(0, classes, number)
        regions = rng.random(number) < 0.2
        near = np.repeat(real, 2, axis=0) + rng.normal(0, 2, (2 * number, 4))
        away = rng.uniform(0, 60, (3, 2))
        boxes = np.vstack([near, np.hstack([away, away + 12])])
        labels = np.append(np.repeat(names, 2), rng.integers(0, classes, 3))
        # Of two digits: some are equal.
        scores = rng.random(len(boxes)).round(2)
        detections.append(tensors(boxes, scores, labels))
        truths.append(tensors(real, names, regions))
    return detections, truths


def tensors(*arrays: Any) -> tuple[Tensor, ...]:
    found = [torch.as_tensor(np.asarray(array)) for array in arrays]
    return (found[0].float().reshape(-1, 4), *found[1:])


def brute_cost(
    detections: list, truths: list, label: int, threshold: float, costs: tuple
) -> float:
    """Match what a threshold leaves, and nothing else, in plain Python."""
    total = 0.0
    for found, annotated in zip(detections, truths, strict=True):
        ours = zip(*(part.tolist() for part in found), strict=True)
        theirs = list(zip(*(part.tolist() for part in annotated), strict=True))
        left = [box for box, name, region in theirs if name == label and not region]
        regions = [box for box, name, region in theirs if name == label and region]
        called = [(s, box) for box, s, name in ours if name == label and s >= threshold]
        for _, box in sorted(called, key=lambda one: -one[0]):
            best = max(left, key=lambda real: overlap(box, real), default=None)
            if best is not None and overlap(box, best) >= 0.5:
                left.remove(best)
            elif not any(common(box, r) >= 0.5 * area(box) for r in regions):
                total += costs[1]
        total += costs[0] * len(left)
    return total


def common(one: list, other: list) -> float:
    sides = [min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1)]
    return max(0.0, sides[0]) * max(0.0, sides[1])


def area(box: list) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def overlap(one: list, other: list) -> float:
    return common(one, other) / (area(one) + area(other) - common(one, other))


@pytest.mark.parametrize('costs', [(1.0, 1.0), (10.0, 1.0), (1.0, 4.0)])
@pytest.mark.parametrize('seed', range(2))
def test_feature_no_threshold_costs_less(seed, costs) -> None:
    detections, truths = drawn(seed)
    found = choose_thresholds(detections, truths, classes=2, costs=costs)
    for label in range(2):
        threshold = float(found.thresholds[label])
        missed = int(found.truths[label] - found.found[label])
        ours = costs[0] * missed + costs[1] * int(found.false_alarms[label])
        assert ours == brute_cost(detections, truths, label, threshold, costs)
        scores = torch.cat([s[names == label] for _, s, names in detections]).tolist()
        others = {
            t: brute_cost(detections, truths, label, t, costs) for t in [*scores, 1.0]
        }
        assert ours == min(others.values())


@pytest.mark.parametrize('seed', range(2))
def test_feature_matches_as_coco_does(seed) -> None:
    detections, truths = drawn(seed, classes=1)
    target, result = COCO(), COCO()
    images = [{'id': k, 'width': 100, 'height': 100} for k in range(len(truths))]
    entries: dict[str, list] = {'real': [], 'found': []}
    for k, (real, _, regions) in enumerate(truths):
        boxes, scores, _ = detections[k]
        for kind, shapes in (('real', real), ('found', boxes)):
            for row, (x1, y1, x2, y2) in enumerate(shapes.tolist()):
                entry = {
                    'id': len(entries[kind]) + 1,
                    'image_id': k,
                    'category_id': 1,
                    'bbox': [x1, y1, x2 - x1, y2 - y1],
                    'area': (x2 - x1) * (y2 - y1),
                    'iscrowd': int(kind == 'real' and regions[row]),
                }
                if kind == 'found':
                    entry['score'] = float(scores[row])
                entries[kind].append(entry)
    for coco, kind in ((target, 'real'), (result, 'found')):
        coco.dataset = {'images': images, 'categories': [{'id': 1}]}
        coco.dataset['annotations'] = entries[kind]
        coco.createIndex()
    evaluation = COCOeval(target, result, 'bbox')
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.evaluate()
    for k, (real, _, regions) in enumerate(truths):
        boxes, scores, _ = detections[k]
        ours = match_boxes(boxes, scores, real, ignored=regions)
        theirs = evaluation.evalImgs[k]
        order = np.argsort(-scores.numpy(), kind='mergesort')
        expected = np.zeros(len(boxes), int)
        expected[order] = np.where(
            theirs['dtIgnore'][0], IGNORED, (theirs['dtMatches'][0] > 0) * HIT
        )
        assert ours.tolist() == expected.tolist()


def test_feature_which_gap() -> None:
    score = torch.tensor([0.75, 0.5, 0.25])

    def chosen(*hits: int, truths: int = 3, miss: float = 1, alarm: float = 1) -> float:
        return box_cost_threshold(score, torch.tensor(hits), truths, miss, alarm)

    assert chosen(1, 1, 1) == 0.125  # all are right: the middle of what is below
    assert chosen(0, 0, 0) == 0.875  # none is: above the highest
    assert chosen(1, 0, 0) == 0.625
    # A hit behind a false alarm: as dear with both as without both.
    assert chosen(1, 0, 1) == 0.125
    assert chosen(1, 0, 1, miss=2, alarm=3) == 0.625
    assert chosen(1, 0, 1, miss=3, alarm=2) == 0.125
    # A score of 1 has nothing above it.
    ones = torch.ones(2)
    assert box_cost_threshold(ones, torch.tensor([0, 0]), 1, 1, 1) <= 1


def test_feature_equal_scores_stay_together() -> None:
    scores = torch.tensor([0.5, 0.5, 0.5, 0.9])
    found = box_cost_threshold(scores, torch.tensor([1, 0, 0, 1]), 2, 1, 1)
    assert found == pytest.approx(0.7)
    assert box_cost_threshold(scores, torch.tensor([1, 0, 0, 1]), 2, 3, 1) == 0.25


def test_feature_exact_in_the_type_of_the_scores() -> None:
    """Between neighbours in float32 nothing is lost when it is compared there."""
    low = torch.tensor(0.3)
    high = torch.nextafter(low, torch.tensor(1.0))
    scores = torch.stack([low, high])
    found = box_cost_threshold(scores, torch.tensor([0, 1]), 1, 1, 1)
    assert (scores >= torch.tensor(found)).tolist() == [False, True]


def test_feature_nothing_to_choose() -> None:
    nothing = torch.zeros(0)
    assert math.isnan(box_cost_threshold(nothing, nothing, 3, 1, 1))
    assert math.isnan(box_cost_threshold(torch.tensor([0.5]), torch.zeros(1), 0, 1, 1))
    empty = (torch.zeros(0, 4), nothing, nothing)
    found = choose_thresholds([empty], [empty], classes=3)
    assert found.thresholds.isnan().all()
    assert found.truths.tolist() == found.false_alarms.tolist() == [0, 0, 0]
    # A region to be ignored is no validation box.
    box, one = torch.tensor([[0.0, 0, 9, 9]]), torch.ones(1)
    region = (box, torch.zeros(1), one)
    found = choose_thresholds([(box, one / 2, torch.zeros(1))], [region], classes=1)
    assert found.thresholds.isnan().all()


def test_exception() -> None:
    box, half = torch.zeros(1, 4), torch.tensor([0.5])
    with pytest.raises(ValueError, match=r'^boxes\.shape=\(4,\): expected \(N, 4\)'):
        match_boxes(torch.zeros(4), half, box)
    with pytest.raises(ValueError, match=r'^scores\.shape=\(1,\), boxes\.shape=\(2,\)'):
        match_boxes(torch.zeros(2, 4), half, box)
    with pytest.raises(ValueError, match=r'^truths=0: expected at least the 1 that'):
        box_cost_threshold(half, torch.ones(1), 0, 1, 1)
    with pytest.raises(ValueError, match=r'^scores outside \[0, 1\]'):
        box_cost_threshold(half * 3, torch.ones(1), 1, 1, 1)
    with pytest.raises(ValueError, match=r'^miss_cost=0, false_alarm_cost=1: expected'):
        box_cost_threshold(half, torch.ones(1), 1, 0, 1)
    with pytest.raises(ValueError, match=r'^1 images of detections, 0 annotated ones'):
        choose_thresholds([(box, half, half)], [], classes=1)
