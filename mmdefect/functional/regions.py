"""Regions of priors that carry old knowledge: confident, statistical, ring, difficult.

A *prior* is one square box per location of a feature level; a *box* is the ground truth
of a new class. Arguments named ``valid`` are bool, shape ``(A,)``, and leave out priors
in the padding of an image. SD-IDD: Sensors 2026, 26(5):1413. ATSS: Zhang et al., CVPR
2020. LD: Zheng et al., CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmdefect.functional.boxes import centres, pairwise_diou, pairwise_iou

# A prior counts as inside a box when its centre is this far (pixels) from every side.
_MARGIN = 0.01


class Region(NamedTuple):
    """Priors that belong to the boxes of an image.

    Attributes:
        mask: Bool, shape ``(A,)``.
        owner: Index of the box that a prior belongs to, shape ``(A,)``; 0 outside.
        iou: IoU of the prior with its owner, shape ``(A,)``; 0 outside.
    """

    mask: Tensor
    owner: Tensor
    iou: Tensor


def confident(
    scores: Tensor, *, num_std: float = 2.0, valid: Tensor | None = None
) -> Tensor:
    """Priors whose score stands out: above mean + ``num_std`` standard deviations.

    SD-IDD's region CR and ERD's elastic response selection (CVPR 2022): unbiased
    deviation, strict comparison, all levels of one image pooled.

    Args:
        scores: Shape ``(A,)``.
        num_std: Standard deviations above the mean.
        valid: Which priors count.

    Returns:
        Bool, shape ``(A,)``; nothing is selected among fewer than two scores.

    Example:
        >>> confident(torch.tensor([0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9]))
        tensor([False, False, False, False, False, False,  True])
    """
    counted = scores if valid is None else scores[valid]
    if len(counted) < 2:
        return torch.zeros_like(scores, dtype=torch.bool)
    selected = scores > counted.mean() + num_std * counted.std()
    return selected if valid is None else selected & valid


def candidates(
    priors: Tensor,
    boxes: Tensor,
    level_sizes: Sequence[int],
    *,
    topk: int = 9,
    valid: Tensor | None = None,
) -> Tensor:
    """The ``topk`` priors of each level nearest to each box: ATSS's first stage.

    Args:
        priors: Shape ``(A, 4)``, level after level.
        boxes: Shape ``(G, 4)``.
        level_sizes: Priors of each level; they sum to ``A``.
        topk: Priors a level.
        valid: Which priors may be chosen.

    Returns:
        Indices into the priors, shape ``(K, G)``.

    Example:
        >>> priors = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [16, 0, 24, 8]])
        >>> boxes = torch.tensor([[1.0, 1, 8, 8]])
        >>> candidates(priors, boxes, [3], topk=2)
        tensor([[0],
                [1]])
    """
    offset = centres(priors)[:, None] - centres(boxes)[None]
    distances = offset.square().sum(dim=2).sqrt()
    if valid is not None:
        distances = distances.masked_fill(~valid[:, None], torch.inf)
    chosen, start = [], 0
    for size in level_sizes:
        there = size if valid is None else int(valid[start : start + size].sum())
        level = distances[start : start + size]
        nearest = level.topk(min(topk, there), dim=0, largest=False).indices
        chosen.append(nearest + start)
        start += size
    return torch.cat(chosen)


def statistical(
    priors: Tensor,
    boxes: Tensor,
    level_sizes: Sequence[int],
    *,
    topk: int = 9,
    valid: Tensor | None = None,
) -> tuple[Region, Tensor]:
    """Priors that fit a box: SD-IDD's dual-stage region BR, ATSS's positives.

    Stage 1 takes the nearest priors of each level, stage 2 those of them whose IoU
    reaches mean + standard deviation of the candidates' and whose centre lies inside
    the box. A prior claimed twice belongs to the box it overlaps most.

    Args:
        priors: Shape ``(A, 4)``, level after level.
        boxes: Shape ``(G, 4)``.
        level_sizes: Priors of each level.
        topk: Candidates a level.
        valid: Which priors may be chosen.

    Returns:
        The region, and the threshold of each box, shape ``(G,)``.

    Example:
        >>> priors = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [16, 0, 24, 8]])
        >>> boxes = torch.tensor([[1.0, 1, 8, 8]])
        >>> region, _ = statistical(priors, boxes, [3])
        >>> region.mask
        tensor([ True, False, False])
    """
    if not len(boxes):
        return _nothing(priors), boxes.new_zeros(0)
    chosen = candidates(priors, boxes, level_sizes, topk=topk, valid=valid)
    ious = pairwise_iou(priors, boxes)
    found = ious.gather(0, chosen)
    thresholds = found.mean(dim=0) + found.std(dim=0)
    inside = _inside(centres(priors), boxes).gather(0, chosen)
    claimed = torch.zeros_like(ious, dtype=torch.bool)
    claimed.scatter_(0, chosen, (found >= thresholds) & inside)
    return _owned(ious, claimed), thresholds


def ring(
    priors: Tensor,
    boxes: Tensor,
    level_sizes: Sequence[int],
    *,
    topk: int = 9,
    lower: float = 0.25,
    valid: Tensor | None = None,
) -> Region:
    """Priors just below the threshold: LD's valuable localisation region.

    All priors with ``lower * threshold <= DIoU < threshold``, the threshold of
    :func:`statistical`, and a positive IoU.

    Example:
        >>> priors = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [16, 0, 24, 8]])
        >>> boxes = torch.tensor([[1.0, 1, 8, 8]])
        >>> ring(priors, boxes, [3], lower=0).mask
        tensor([False, False, False])
    """
    if not len(boxes):
        return _nothing(priors)
    _, thresholds = statistical(priors, boxes, level_sizes, topk=topk, valid=valid)
    dious = pairwise_diou(priors, boxes)
    claimed = (dious >= lower * thresholds) & (dious < thresholds)
    if valid is not None:
        claimed &= valid[:, None]
    ious = pairwise_iou(priors, boxes)
    return _owned(ious, claimed & (ious > 0))


def difficult(
    priors: Tensor, boxes: Tensor, *, ratio: float = 0.5, valid: Tensor | None = None
) -> Tensor:
    """Locations near a box, the more the harder it is: SD-IDD's region FR.

    Priors whose IoU with a box exceeds ``ratio`` times that box's best IoU over all
    levels. Tiny and elongated boxes have a low best IoU, so their region grows.

    Returns:
        Bool, shape ``(A,)``.

    Example:
        >>> priors = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8], [16, 0, 24, 8]])
        >>> boxes = torch.tensor([[1.0, 1, 8, 8]])
        >>> difficult(priors, boxes)
        tensor([ True, False, False])
    """
    if not len(boxes):
        return torch.zeros(len(priors), dtype=torch.bool, device=priors.device)
    ious = pairwise_iou(priors, boxes)
    if valid is not None:
        ious = ious * valid[:, None]
    return (ious > ratio * ious.amax(dim=0)).any(dim=1)


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    low = points[:, None] - boxes[None, :, :2]
    high = boxes[None, :, 2:] - points[:, None]
    return torch.cat([low, high], dim=2).amin(dim=2) > _MARGIN


def _owned(ious: Tensor, claimed: Tensor) -> Region:
    """Give every prior to the claiming box that it overlaps most."""
    best, owner = ious.masked_fill(~claimed, -1).max(dim=1)
    mask = best >= 0
    return Region(mask=mask, owner=owner * mask, iou=best * mask)


def _nothing(priors: Tensor) -> Region:
    none = torch.zeros(len(priors), dtype=torch.bool, device=priors.device)
    return Region(mask=none, owner=none.long(), iou=none.to(priors.dtype))
