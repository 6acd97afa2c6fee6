"""Which boxes of a detector hit an annotated one, as COCO's evaluator decides it."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdefect.functional._checks import check_vectors
from mmdefect.functional.boxes import aligned_iou

FALSE, HIT, IGNORED = 0, 1, -1


def match_boxes(
    boxes: Tensor,
    scores: Tensor,
    truths: Tensor,
    *,
    groups: Tensor | None = None,
    truth_groups: Tensor | None = None,
    ignored: Tensor | None = None,
    iou: float = 0.5,
) -> Tensor:
    """Match boxes to the annotated ones of their group, as COCO does.

    A group is one class in one image. The best box of a group chooses first, equal
    scores in the order given; it takes the annotated box that it overlaps most, of
    those that are left, from ``iou`` on. So what a threshold leaves out never changes
    what the others hit.

    Args:
        boxes: Shape ``(N, 4)``, x1, y1, x2, y2.
        scores: Shape ``(N,)``.
        truths: Annotated boxes, shape ``(G, 4)``.
        groups: Shape ``(N,)``, whole numbers; all are of one group by default.
        truth_groups: Shape ``(G,)``.
        ignored: Shape ``(G,)``, which of them are regions (COCO's ``iscrowd``): a box
            that hits nothing else and of which the share ``iou`` lies in one counts
            neither way.
        iou: Least intersection over union.

    Returns:
        Shape ``(N,)``, int64: 1 hits, 0 is a false alarm, -1 is ignored.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> truth = torch.tensor([[0.0, 0, 10, 10]])
        >>> boxes = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 10]])
        >>> match_boxes(boxes, torch.tensor([0.6, 0.9]), truth)
        tensor([0, 1])
    """
    for name, value in (('boxes', boxes), ('truths', truths)):
        if value.ndim != 2 or value.shape[1] != 4:
            raise ValueError(f'{name}.shape={tuple(value.shape)}: expected (N, 4)')
    boxes, scores, truths = boxes.cpu(), scores.cpu(), truths.cpu()
    groups = torch.zeros(len(boxes)) if groups is None else groups.cpu()
    theirs = torch.zeros(len(truths)) if truth_groups is None else truth_groups.cpu()
    regions = torch.zeros(len(truths)) if ignored is None else ignored.cpu()
    check_vectors(scores=scores, boxes=boxes[:, 0], groups=groups)
    check_vectors(truth_groups=theirs, ignored=regions, truths=truths[:, 0])
    rows, columns = pairs_within(groups, theirs)
    overlaps = aligned_iou(boxes[rows], truths[columns])
    inside = _share_inside(boxes[rows], truths[columns])
    crowd = regions.bool()[columns]
    kinds = torch.full((len(boxes),), FALSE)
    kinds[rows[crowd & (inside >= iou)]] = IGNORED
    near = ~crowd & (overlaps >= iou)
    rows, columns, overlaps = rows[near], columns[near], overlaps[near]
    order = overlaps.argsort(descending=True, stable=True)
    place = scores.argsort(descending=True, stable=True).argsort()
    order = order[place[rows[order]].argsort(stable=True)]
    kinds[_take_first(rows[order], columns[order])] = HIT
    return kinds


def pairs_within(groups: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Pair every row with all other rows of its group.

    Args:
        groups: Group of each row, shape ``(N,)``.
        others: Group of each row of another table, shape ``(M,)``.

    Returns:
        Indices of the rows, ascending, and of the other rows, both ``(pairs,)``, int64.

    Example:
        >>> pairs_within(torch.tensor([7, 8, 7]), torch.tensor([7, 7, 9]))
        (tensor([0, 0, 2, 2]), tensor([0, 1, 0, 1]))
    """
    ordered, order = others.sort(stable=True)
    first = torch.searchsorted(ordered, groups.contiguous())
    count = torch.searchsorted(ordered, groups.contiguous(), right=True) - first
    rows = torch.arange(len(groups)).repeat_interleave(count)
    # The number of a pair among those of its row.
    number = torch.arange(len(rows)) - (count.cumsum(0) - count)[rows]
    return rows, order[first[rows] + number]


def _take_first(rows: Tensor, columns: Tensor) -> Tensor:
    """Give each row the first of its columns that no row before it has taken.

    Returns:
        The rows that got one.
    """
    served: set[int] = set()
    taken: set[int] = set()
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        if row not in served and column not in taken:
            served.add(row)
            taken.add(column)
    return torch.tensor(sorted(served), dtype=torch.int64)


def _share_inside(boxes: Tensor, regions: Tensor) -> Tensor:
    """Share of each box that lies in its region, shape ``(N,)``."""
    low = torch.maximum(boxes[:, :2], regions[:, :2])
    high = torch.minimum(boxes[:, 2:], regions[:, 2:])
    overlap = (high - low).clamp(min=0).prod(dim=-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1)
    return overlap / areas.clamp(min=1e-6)
