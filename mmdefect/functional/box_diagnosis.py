"""What a detector's boxes get wrong: on whose images, at what score, for which class.

Boxes of a whole test set stand in one table, a row each, and so do the annotated ones;
``images`` numbers the image of each row, from 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmdefect.functional._checks import check_vectors
from mmdefect.functional.box_matching import pairs_within
from mmdefect.functional.boxes import aligned_iou

RECALLS = 101


def coco_average_precision(scores: Tensor, hits: Tensor, truths: int) -> float:
    """Average precision of one class at one IoU, as COCO's evaluators compute it.

    The mean, over the recalls 0, 0.01, ..., 1, of the best precision at that recall or
    a higher one; 0 where no score reaches it.

    Args:
        scores: Of all boxes of the class that are not ignored, shape ``(N,)``. Equal
            scores keep their order.
        hits: Which of them hit an annotated box, shape ``(N,)``.
        truths: Number of annotated boxes.

    Returns:
        In [0, 1]; NaN without an annotated box.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> scores = torch.tensor([0.9, 0.8])
        >>> coco_average_precision(scores, torch.tensor([0, 1]), 1)
        0.5
    """
    check_vectors(scores=scores, hits=hits)
    if not truths:
        return math.nan
    order = scores.argsort(descending=True, stable=True)
    found = (hits[order] != 0).double().cumsum(0)
    precision = found / torch.arange(1, len(found) + 1, dtype=torch.float64)
    best = precision.flip(0).cummax(0).values.flip(0)
    # Not linspace, whose values differ from NumPy's in the last bit.
    recalls = torch.arange(RECALLS, dtype=torch.float64) * 0.01
    places = torch.searchsorted(found / truths, recalls)
    return float(torch.cat([best, best.new_zeros(1)])[places].mean())


def recall_threshold(
    scores: Tensor, hits: Tensor, truths: int, recall: float = 0.5
) -> float:
    """Highest score from which on a share of the annotated boxes is found.

    It looks at the truth, so it serves a diagnosis and no decision: it puts models and
    classes whose scores mean different things at one common point.

    Args:
        scores: Of all boxes of a class that are not ignored, shape ``(N,)``.
        hits: Which of them hit an annotated box, shape ``(N,)``.
        truths: Number of annotated boxes.
        recall: The share. Where it is never reached, the score of the last hit is
            taken, which comes closest.

    Returns:
        The threshold; NaN without a hit.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> scores = torch.tensor([0.9, 0.7, 0.5])
        >>> recall_threshold(scores, torch.tensor([1, 0, 1]), 4)
        0.5
    """
    check_vectors(scores=scores, hits=hits)
    found = scores[hits != 0].double().sort(descending=True).values
    if not len(found) or not truths:
        return math.nan
    wanted = max(1, math.ceil(recall * truths))
    return float(found[min(wanted, len(found)) - 1])


def own_images(labels: Tensor, images: Tensor, steps: Tensor, *, count: int) -> Tensor:
    """Which images show a class of each step: its own images.

    Args:
        labels: Classes of the annotated boxes, shape ``(G,)``.
        images: Image of each annotated box, shape ``(G,)``.
        steps: Step of each class, shape ``(C,)``, numbered from 0.
        count: Number of images.

    Returns:
        Bool, shape ``(steps, images)``.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> labels, images = torch.tensor([0, 1]), torch.tensor([0, 2])
        >>> own_images(labels, images, torch.tensor([0, 1]), count=3).tolist()
        [[True, False, False], [False, False, True]]
    """
    check_vectors(labels=labels, images=images)
    shown = torch.zeros(int(steps.max()) + 1, count, dtype=torch.bool)
    shown[steps[labels], images] = True
    return shown


def mistaken_for(
    boxes: Tensor,
    labels: Tensor,
    images: Tensor,
    truths: Tensor,
    truth_labels: Tensor,
    truth_images: Tensor,
    *,
    iou: float = 0.5,
) -> Tensor:
    """Find the object of another class that each box lies on.

    A box that overlaps an object of its own class from ``iou`` on lies on that one: a
    second box of one object is no confusion.

    Args:
        boxes: Boxes that hit nothing, shape ``(N, 4)``.
        labels: Their classes, shape ``(N,)``.
        images: Their images, shape ``(N,)``.
        truths: Annotated boxes, shape ``(G, 4)``.
        truth_labels: Their classes, shape ``(G,)``.
        truth_images: Their images, shape ``(G,)``.
        iou: Least intersection over union.

    Returns:
        Shape ``(N,)``, int64: row of the annotated box that it overlaps most, -1 for
        none.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> box, zero = torch.tensor([[0.0, 0, 9, 9]]), torch.zeros(1)
        >>> mistaken_for(box, zero + 1, zero, box, zero, zero)
        tensor([0])
    """
    check_vectors(labels=labels, images=images, boxes=boxes[:, 0])
    check_vectors(labels=truth_labels, images=truth_images, truths=truths[:, 0])
    rows, columns = pairs_within(images, truth_images)
    overlaps = aligned_iou(boxes[rows], truths[columns])
    near = overlaps >= iou
    rows, columns, overlaps = rows[near], columns[near], overlaps[near]
    same = labels[rows] == truth_labels[columns]
    found = torch.full((len(boxes),), -1)
    order = overlaps.argsort(stable=True)  # the largest is written last
    order = order[~same[order]]
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        found[row] = column
    found[rows[same]] = -1
    return found
