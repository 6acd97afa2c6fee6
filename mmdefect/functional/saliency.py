"""Saliency against the outline of a defect: does the evidence lie on it?

By the casting study's two measures (:func:`iou`, :func:`iop`) and two that need no
threshold (:func:`pointing_game`, :func:`energy`), one image at a time. All are
fractions in [0, 1], float64; a map without evidence and a mask without defect score 0.

A map is not negative, floating point, of shape ``(H, W)``; a mask of the same shape is
not 0 where the defect is. Others raise a ValueError, as do settings out of range.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def check_threshold(threshold: float) -> None:
    """Refuse a threshold outside [0, 1), which keeps nothing of any map.

    Raises:
        ValueError: Naming the threshold.

    Example:
        >>> check_threshold(1)
        Traceback (most recent call last):
        ValueError: threshold=1: expected at least 0 and less than 1; the study has 0.4
    """
    if not 0 <= threshold < 1:
        raise ValueError(
            f'threshold={threshold}: expected at least 0 and less than 1; the study '
            'has 0.4'
        )


def salient_region(saliency: Tensor, threshold: float) -> Tensor:
    """Region where a map exceeds a share of its largest value.

    Args:
        saliency: The map.
        threshold: The share, in [0, 1).

    Returns:
        Bool, shape ``(H, W)``; empty for a map of zeros, else not.

    Example:
        >>> salient_region(torch.tensor([[0.2, 1, 0.6]]), 0.4)
        tensor([[False,  True,  True]])
    """
    check_threshold(threshold)
    _check_map(saliency)
    return saliency > threshold * saliency.max()


def iou(saliency: Tensor, mask: Tensor, threshold: float) -> Tensor:
    """Intersection over union of salient region and mask.

    Example:
        >>> saliency, mask = torch.tensor([[0.2, 1, 0.6]]), torch.tensor([[1, 1, 0]])
        >>> iou(saliency, mask, 0.4)
        tensor(0.3333, dtype=torch.float64)
    """
    found, defect = salient_region(saliency, threshold), _defect(saliency, mask)
    return _share((found & defect).sum(), (found | defect).sum())


def iop(saliency: Tensor, mask: Tensor, threshold: float) -> Tensor:
    """Intersection over prediction: how much of the salient region is defect.

    Example:
        >>> saliency, mask = torch.tensor([[0.2, 1, 0.6]]), torch.tensor([[1, 1, 0]])
        >>> iop(saliency, mask, 0.4)
        tensor(0.5000, dtype=torch.float64)
    """
    found, defect = salient_region(saliency, threshold), _defect(saliency, mask)
    return _share((found & defect).sum(), found.sum())


def pointing_game(saliency: Tensor, mask: Tensor, *, tolerance: float = 0.0) -> Tensor:
    """Pointing game: 1 if the peak of the map lies on the defect, else 0.

    Zhang et al. (IJCV 2018, "Top-down Neural Attention by Excitation Backprop"). Where
    several pixels share the largest value, the share of them that hits, which is what
    picking one of them at random hits on average.

    Args:
        saliency: The map.
        mask: The mask.
        tolerance: Distance in pixels from the defect that still hits; the paper has 15.

    Example:
        >>> saliency, mask = torch.tensor([[0.2, 1, 0.6]]), torch.tensor([[1, 1, 0]])
        >>> pointing_game(saliency, mask)
        tensor(1., dtype=torch.float64)
    """
    _check_map(saliency)
    defect = _defect(saliency, mask)
    if not tolerance >= 0:
        raise ValueError(f'tolerance={tolerance}: expected at least 0 pixels')
    top = saliency.max()
    if top == 0 or not bool(defect.any()):
        return _share(top.new_zeros(()), top.new_zeros(()))
    peaks = saliency == top
    return _share((peaks & _grown(defect, tolerance)).sum(), peaks.sum())


def energy(saliency: Tensor, mask: Tensor) -> Tensor:
    """Share of all evidence that lies on the defect.

    The energy-based pointing game of Wang et al. (CVPR Workshops 2020, "Score-CAM",
    section 4.3).

    Example:
        >>> saliency, mask = torch.tensor([[0.2, 1, 0.6]]), torch.tensor([[1, 1, 0]])
        >>> energy(saliency, mask)
        tensor(0.6667, dtype=torch.float64)
    """
    _check_map(saliency)
    defect = _defect(saliency, mask)
    if not bool(saliency.any()):
        return _share(saliency.new_zeros(()), saliency.new_zeros(()))
    values = saliency.double()
    return values[defect].sum() / values.sum()


def _grown(mask: Tensor, distance: float) -> Tensor:
    """Pixels within a distance of the mask."""
    radius = int(distance)
    if not radius:
        return mask
    steps = torch.arange(-radius, radius + 1, device=mask.device).square()
    disc = steps[:, None] + steps <= distance**2
    near = F.conv2d(mask.float()[None, None], disc.float()[None, None], padding=radius)
    return near[0, 0] > 0.5


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``, 0 of nothing."""
    return part.double() / whole.double().clamp(min=1)


def _check_map(saliency: Tensor) -> None:
    if saliency.ndim != 2 or not saliency.numel() or not saliency.is_floating_point():
        raise ValueError(
            f'saliency of shape {tuple(saliency.shape)} and type {saliency.dtype}: '
            'expected (H, W) of a floating point type; take one map out of the batch'
        )
    low, high = saliency.aminmax()  # NaN if any is
    if not bool(low >= 0) or not bool(high.isfinite()):
        raise ValueError(
            f'saliency from {float(low)} to {float(high)}: expected finite numbers of '
            'at least 0; keep the evidence for the class only (relu), or subtract the '
            'smallest value'
        )


def _defect(saliency: Tensor, mask: Tensor) -> Tensor:
    if saliency.shape != mask.shape:
        raise ValueError(
            f'saliency.shape={tuple(saliency.shape)}, mask.shape={tuple(mask.shape)}: '
            'expected one shape; resize the map to the mask'
        )
    return mask != 0
