"""Score thresholds of a detector: from which score on a box of a class is called.

Chosen on validation images, never on those of a test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdefect.functional._checks import check_vectors
from mmdefect.functional.box_matching import HIT, IGNORED, match_boxes
from mmdefect.functional.calibration import check_costs, check_shares, score_gaps


@dataclass(frozen=True, eq=False)
class BoxChoice:
    """A threshold a class, and what it does on the images that it was chosen on.

    Attributes:
        thresholds: ``(C,)`` float64, NaN where nothing could be chosen.
        truths: ``(C,)`` int64, annotated boxes, ignored ones not counted.
        found: ``(C,)`` int64, of these, how many are found at the threshold.
        false_alarms: ``(C,)`` int64, boxes at or above the threshold that hit nothing.
    """

    thresholds: Tensor
    truths: Tensor
    found: Tensor
    false_alarms: Tensor


def box_cost_threshold(
    scores: Tensor,
    hits: Tensor,
    truths: int,
    miss_cost: float,
    false_alarm_cost: float,
) -> float:
    """Score from which on calling a box a defect costs least.

    A box is called when ``score >= threshold``; an annotated box without one is a miss,
    a called box that hits nothing a false alarm. The middle of the cheapest gap between
    two scores is taken, which leaves most room on both sides; of gaps that cost the
    same, the lowest, which misses least.

    Args:
        scores: Of all boxes of a class that are not ignored, in [0, 1], shape ``(N,)``.
        hits: Which of them hit an annotated box, shape ``(N,)``.
        truths: Number of annotated boxes.
        miss_cost: What an annotated box costs that is not found.
        false_alarm_cost: What a called box costs that hits nothing.

    Returns:
        The threshold, in [0, 1] and exact in the type of the scores; NaN without an
        annotated box or without a box, where every threshold costs the same.

    Raises:
        ValueError: If the shapes differ, there are more hits than annotated boxes, a
            score is not in [0, 1] or a cost is not positive and finite.

    Example:
        >>> scores = torch.tensor([0.9, 0.5, 0.25], dtype=torch.float64)
        >>> box_cost_threshold(scores, torch.tensor([1, 1, 0]), 3, 1, 1)
        0.375
    """
    check_costs(miss_cost, false_alarm_cost)
    check_vectors(scores=scores, hits=hits)
    check_shares(scores)
    hits = hits != 0
    if int(hits.sum()) > truths:
        raise ValueError(
            f'truths={truths}: expected at least the {int(hits.sum())} that are hit'
        )
    if not truths or not len(scores):
        return math.nan
    ends, order = scores.detach().unique(return_inverse=True)
    counts = scores.new_zeros(2, len(ends), dtype=torch.float64)
    counts[0].index_add_(0, order[hits], counts.new_ones(int(hits.sum())))
    counts[1].index_add_(0, order[~hits], counts.new_ones(int((~hits).sum())))
    # Threshold k lies above the k lowest scores: these hits become misses.
    below = torch.cat([counts.new_zeros(2, 1), counts.cumsum(1)], dim=1)
    missed = truths - below[0, -1] + below[0]
    total = miss_cost * missed + false_alarm_cost * (below[1, -1] - below[1])
    gaps = score_gaps(ends)
    if ends[-1] == 1:  # no threshold is above
        total, gaps = total[:-1], gaps[:-1]
    cheapest = (total <= total.min() * (1 + 1e-12)).nonzero()
    return gaps[int(cheapest[0])][1]


def choose_thresholds(
    detections: Sequence[tuple[Tensor, Tensor, Tensor]],
    truths: Sequence[tuple[Tensor, Tensor, Tensor]],
    *,
    classes: int,
    costs: tuple[float, float] = (1.0, 1.0),
    iou: float = 0.5,
) -> BoxChoice:
    """Choose the threshold of each class on validation images.

    See :func:`match_boxes` for what a hit is and :func:`box_cost_threshold` for the
    choice. Classes do not take boxes from each other.

    Args:
        detections: Of each image boxes ``(N, 4)``, scores ``(N,)`` and labels ``(N,)``.
        truths: Of each image annotated boxes ``(G, 4)``, labels ``(G,)`` and which of
            them are regions to be ignored, ``(G,)``.
        classes: Number of classes.
        costs: What a miss costs and what a false alarm costs.
        iou: From which intersection over union on a box hits.

    Raises:
        ValueError: If the numbers of images differ, or as the functions above.

    Example:
        >>> box = torch.tensor([[0.0, 0, 9, 9]])
        >>> one = torch.tensor([0])
        >>> found = [(box, torch.tensor([0.8], dtype=torch.float64), one)]
        >>> choice = choose_thresholds(found, [(box, one, one)], classes=2)
        >>> choice.thresholds
        tensor([0.4000,    nan], dtype=torch.float64)
    """
    scores, labels, kinds, annotated = matched(
        detections, truths, classes=classes, iou=iou
    )
    chosen = torch.full((classes,), math.nan, dtype=torch.float64)
    counts = torch.zeros(3, classes, dtype=torch.int64)
    for label in range(classes):
        counted = (labels == label) & (kinds != IGNORED)
        confidence, hits = scores[counted], kinds[counted] == HIT
        number = int(annotated[label])
        threshold = box_cost_threshold(confidence, hits, number, *costs)
        called = confidence.double() >= threshold
        found = int((called & hits).sum())
        chosen[label] = threshold
        counts[:, label] = torch.tensor([number, found, int(called.sum()) - found])
    return BoxChoice(chosen, *counts)


def matched(
    detections: Sequence[tuple[Tensor, Tensor, Tensor]],
    truths: Sequence[tuple[Tensor, Tensor, Tensor]],
    *,
    classes: int,
    iou: float = 0.5,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Match the boxes of all images; arguments as of :func:`choose_thresholds`.

    Returns:
        Score, label and kind of each box, ``(N,)``, and the number of annotated boxes
        of each class that are not ignored, ``(C,)``.

    Raises:
        ValueError: If the numbers of images differ, or as :func:`match_boxes`.
    """
    if len(detections) != len(truths):
        raise ValueError(
            f'{len(detections)} images of detections, {len(truths)} annotated ones: '
            'expected the same images in the same order'
        )
    boxes, scores, labels, images = _joined(detections)
    real, names, regions, places = _joined(truths)
    kinds = match_boxes(
        boxes,
        scores,
        real,
        groups=images * classes + labels.long(),
        truth_groups=places * classes + names.long(),
        ignored=regions,
        iou=iou,
    )
    counted = names.long()[~regions.bool()]
    return scores, labels, kinds, torch.bincount(counted, minlength=classes)


def _joined(
    rows: Sequence[tuple[Tensor, Tensor, Tensor]],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Join the boxes of all images, and number the image of each box."""
    counts = torch.tensor([len(boxes) for boxes, *_ in rows], dtype=torch.int64)
    empty = (torch.zeros(0, 4), torch.zeros(0), torch.zeros(0))
    # Empty ones say nothing of the type of the scores, of which a threshold has to be.
    filled = [row for row in rows if len(row[0])] or [empty]
    boxes, *others = (
        torch.cat([part.cpu() for part in parts]) for parts in zip(*filled, strict=True)
    )
    return (
        boxes,
        others[0],
        others[1],
        torch.arange(len(rows)).repeat_interleave(counts),
    )
