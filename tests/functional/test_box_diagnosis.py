"""What boxes get wrong: by hand, and as COCO's evaluator counts it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mmdefect.functional import (
    coco_average_precision,
    match_boxes,
    mistaken_for,
    own_images,
    recall_threshold,
)
from mmdefect.functional.box_matching import pairs_within

HITS = torch.tensor([1, 0, 1, 0, 1])
SCORES = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])


def boxes(*corners: tuple[float, float]) -> Tensor:
    """Squares of ten pixels."""
    return torch.tensor([(x, y, x + 10, y + 10) for x, y in corners]).reshape(-1, 4)


def test_smoke_average_precision() -> None:
    # Of four objects recall 1/4, 1/2 and 3/4 are reached, at precision 1, 2/3, 3/5:
    # 26, 25 and 25 of the 101 recalls.
    expected = (26 + 25 * 2 / 3 + 25 * 3 / 5) / 101
    assert coco_average_precision(SCORES, HITS, 4) == pytest.approx(expected, abs=1e-12)
    order = torch.tensor([4, 2, 0, 3, 1])
    again = coco_average_precision(SCORES[order], HITS[order], 4)
    assert again == pytest.approx(expected, abs=1e-12)


def test_feature_average_precision_of_nothing() -> None:
    nothing = torch.zeros(0)
    assert math.isnan(coco_average_precision(SCORES, HITS * 0, 0))
    assert coco_average_precision(nothing, nothing, 3) == 0
    assert coco_average_precision(SCORES, HITS * 0, 3) == 0
    # A better precision at a higher recall counts for the lower ones.
    scores, hits = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 1, 1])
    assert coco_average_precision(scores, hits, 2) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ('truths', 'recall', 'threshold'),
    [(3, 0.5, 0.7), (2, 0.5, 0.9), (6, 0.5, 0.5), (20, 0.5, 0.5), (3, 0.0, 0.9)],
)
def test_feature_threshold_of_a_recall(truths, recall, threshold) -> None:
    """Two of three are half of them; a recall never reached is come close to."""
    found = recall_threshold(SCORES.double(), HITS, truths, recall)
    assert found == pytest.approx(threshold)


def test_feature_no_hit_no_threshold() -> None:
    assert math.isnan(recall_threshold(SCORES, HITS * 0, 3))
    assert math.isnan(recall_threshold(SCORES, HITS * 0, 0))


def test_feature_own_images() -> None:
    """Classes 0 and 2 came together: an image of either is an own one of both."""
    labels, images = torch.tensor([0, 2, 1, 1]), torch.tensor([0, 1, 1, 3])
    shown = own_images(labels, images, torch.tensor([0, 1, 0]), count=5)
    assert shown.int().tolist() == [[1, 1, 0, 0, 0], [0, 1, 0, 1, 0]]


def test_feature_matching_by_group() -> None:
    """The better box of a group takes the object; other groups have their own."""
    found = boxes((0, 0), (0, 1), (0, 0), (50, 0))
    kinds = match_boxes(
        found,
        torch.tensor([0.5, 0.9, 0.1, 0.4]),
        boxes((0, 0), (0, 0)),
        groups=torch.tensor([3, 3, 8, 8]),
        truth_groups=torch.tensor([8, 3]),
    )
    assert kinds.tolist() == [0, 1, 1, 0]


def test_feature_a_free_object_is_taken_if_the_nearest_is_gone() -> None:
    found, truths = boxes((0, 0), (0, 1), (0, 2)), boxes((0, 0), (0, 3))
    kinds = match_boxes(found, torch.tensor([0.9, 0.8, 0.7]), truths)
    # The second prefers the first object, which is taken, and is left the other.
    assert kinds.tolist() == [1, 1, 0]


@pytest.mark.parametrize('seed', range(2))
def test_feature_groups_are_matched_as_one_by_one(seed) -> None:
    rng = np.random.default_rng(seed)
    corners = torch.from_numpy(rng.uniform(0, 25, (60, 2)))
    found = torch.cat([corners, corners + 10], dim=1)
    truths = found[torch.from_numpy(rng.permutation(60)[:30])] + 1.5
    scores = torch.from_numpy(rng.random(60).round(1))
    groups, theirs = (torch.from_numpy(rng.integers(0, 4, n)) for n in (60, 30))
    crowd = torch.from_numpy(rng.random(30) < 0.2)
    kinds = match_boxes(
        found, scores, truths, groups=groups, truth_groups=theirs, ignored=crowd
    )
    for group in range(4):
        ours, real = groups == group, theirs == group
        alone = match_boxes(
            found[ours], scores[ours], truths[real], ignored=crowd[real]
        )
        assert kinds[ours].tolist() == alone.tolist()
    assert {-1, 0, 1} == set(kinds.tolist())


def test_feature_pairs_of_empty_tables() -> None:
    none, one = torch.zeros(0), torch.zeros(1)
    for groups, others in ((none, one), (one, none), (one, one + 1)):
        rows, columns = pairs_within(groups, others)
        assert rows.tolist() == columns.tolist() == []


def test_feature_mistaken_for() -> None:
    truths, kinds = boxes((0, 0), (0, 3), (40, 0)), torch.tensor([1, 2, 0])
    places = torch.tensor([0, 0, 1])
    found = boxes((0, 2), (0, 0), (40, 1), (40, 1), (80, 0))
    labels, images = torch.tensor([0, 1, 1, 1, 1]), torch.tensor([0, 0, 1, 0, 0])
    lies_on = mistaken_for(found, labels, images, truths, kinds, places)
    # The nearer of two; a second box of an object of its own class lies on that, though
    # another is near; another image; nothing there; nowhere.
    assert lies_on.tolist() == [1, -1, 2, -1, -1]


def test_exception() -> None:
    with pytest.raises(ValueError, match=r'^scores\.shape=\(5,\), hits\.shape=\(4,\)'):
        coco_average_precision(SCORES, HITS[1:], 4)
    with pytest.raises(ValueError, match=r'^scores\.shape=\(5,\), hits\.shape=\(4,\)'):
        recall_threshold(SCORES, HITS[1:], 4)
    with pytest.raises(ValueError, match=r'^labels\.shape=\(5,\), images\.shape='):
        own_images(HITS, HITS[1:], torch.zeros(2), count=3)
