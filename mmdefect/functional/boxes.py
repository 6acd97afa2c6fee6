"""Geometry of boxes ``(x1, y1, x2, y2)`` in pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def centres(boxes: Tensor) -> Tensor:
    """Centre points, shape ``(A, 2)``, of boxes of shape ``(A, 4)``.

    Example:
        >>> centres(torch.tensor([[0.0, 0, 4, 2]]))
        tensor([[2., 1.]])
    """
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def pairwise_iou(boxes: Tensor, others: Tensor, eps: float = 1e-6) -> Tensor:
    """Intersection over union of every box with every other.

    Args:
        boxes: Shape ``(A, 4)``.
        others: Shape ``(G, 4)``.
        eps: Lower bound of the union, so that two empty boxes have IoU 0.

    Returns:
        Shape ``(A, G)``, in [0, 1].

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 4, 4]])
        >>> pairwise_iou(boxes, boxes[:1])
        tensor([[1.0000],
                [0.2500]])
    """
    return aligned_iou(boxes[:, None], others[None], eps)


def aligned_iou(boxes: Tensor, others: Tensor, eps: float = 1e-6) -> Tensor:
    """Intersection over union of box with box, shapes ``(..., 4)`` that broadcast.

    Example:
        >>> aligned_iou(torch.tensor([0.0, 0, 2, 2]), torch.tensor([1.0, 0, 3, 2]))
        tensor(0.3333)
    """
    top_left = torch.maximum(boxes[..., :2], others[..., :2])
    bottom_right = torch.minimum(boxes[..., 2:], others[..., 2:])
    overlap = (bottom_right - top_left).clamp(min=0).prod(dim=-1)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)
    other_areas = (others[..., 2:] - others[..., :2]).prod(dim=-1)
    return overlap / (areas + other_areas - overlap).clamp(min=eps)


def aligned_giou(boxes: Tensor, others: Tensor, eps: float = 1e-6) -> Tensor:
    """Generalised IoU of box with box (Rezatofighi et al., CVPR 2019).

    IoU minus the share of the smallest box around both that neither covers. Shapes
    ``(..., 4)`` that broadcast; in [-1, 1], and with a gradient where boxes are apart.

    Example:
        >>> aligned_giou(torch.tensor([0.0, 0, 1, 1]), torch.tensor([2.0, 0, 3, 1]))
        tensor(-0.3333)
    """
    top_left = torch.maximum(boxes[..., :2], others[..., :2])
    bottom_right = torch.minimum(boxes[..., 2:], others[..., 2:])
    overlap = (bottom_right - top_left).clamp(min=0).prod(dim=-1)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)
    areas = areas + (others[..., 2:] - others[..., :2]).prod(dim=-1)
    union = (areas - overlap).clamp(min=eps)
    low = torch.minimum(boxes[..., :2], others[..., :2])
    high = torch.maximum(boxes[..., 2:], others[..., 2:])
    around = (high - low).prod(dim=-1).clamp(min=eps)
    return overlap / union - (around - union) / around


def pairwise_diou(boxes: Tensor, others: Tensor, eps: float = 1e-6) -> Tensor:
    """Distance IoU of every box with every other (Zheng et al., AAAI 2020, eq. 7).

    IoU minus the squared distance of the centres over the squared diagonal of the
    smallest box around both. Shapes as in :func:`pairwise_iou`; in [-1, 1].

    Example:
        >>> boxes = torch.tensor([[0.0, 0, 1, 1], [2, 0, 3, 1]])
        >>> pairwise_diou(boxes[:1], boxes[1:])
        tensor([[-0.4000]])
    """
    offset = centres(boxes)[:, None] - centres(others)[None]
    low = torch.minimum(boxes[:, None, :2], others[None, :, :2])
    high = torch.maximum(boxes[:, None, 2:], others[None, :, 2:])
    diagonal = (high - low).square().sum(dim=2).clamp(min=eps)
    return pairwise_iou(boxes, others) - offset.square().sum(dim=2) / diagonal


def decode_distribution(logits: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Boxes from GFL's side distributions (Li et al., NeurIPS 2020, eq. 5).

    Args:
        logits: Shape ``(A, 4, bins)``: left, top, right, bottom, in stride units.
        points: Centres of the priors in pixels, shape ``(A, 2)``.
        strides: Pixels per unit of each prior, shape ``(A,)``.

    Returns:
        Shape ``(A, 4)``, in pixels.

    Example:
        >>> flat = torch.zeros(1, 4, 3)  # one unit to every side
        >>> decode_distribution(flat, torch.tensor([[16.0, 16]]), torch.tensor([8.0]))
        tensor([[ 8.,  8., 24., 24.]])
    """
    bins = torch.arange(logits.shape[-1], dtype=logits.dtype, device=logits.device)
    distances = (logits.softmax(dim=-1) @ bins) * strides[:, None]
    return torch.cat([points - distances[:, :2], points + distances[:, 2:]], dim=1)
