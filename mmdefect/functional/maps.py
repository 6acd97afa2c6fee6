"""Anomaly maps: enlarged and smoothed at once, and summed up by their top."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

# Deviations beyond which a Gaussian counts as zero; it is 4e-6 there.
_REACH = 5


@lru_cache(maxsize=64)
def enlarging_matrix(source: int, target: int, sigma: float = 0.0) -> Tensor:
    """Matrix that enlarges a line of values, then smooths it.

    Linear between the centres of cells, then a Gaussian whose weights at a border sum
    to one, too. Both are linear, so one product does for both.

    Args:
        source: How many values there are.
        target: How many there shall be.
        sigma: Deviation of the Gaussian, in values of the result; 0 smooths nothing.

    Returns:
        Shape ``(target, source)``; every row sums to one.

    Example:
        >>> enlarging_matrix(2, 4)
        tensor([[1.0000, 0.0000],
                [0.7500, 0.2500],
                [0.2500, 0.7500],
                [0.0000, 1.0000]])
    """
    lines = torch.eye(source, dtype=torch.float64)[None]
    matrix = F.interpolate(lines, target, mode='linear', align_corners=False)[0].T
    if sigma > 0:
        reach = math.ceil(_REACH * sigma)
        steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
        weights = (-(steps / sigma).square() / 2).exp()[None, None]
        rows = torch.cat([matrix.T, torch.ones(1, target, dtype=torch.float64)])
        smooth = F.conv1d(rows[:, None], weights, padding=reach)[:, 0]
        matrix = (smooth[:-1] / smooth[-1]).T
    return matrix.float().contiguous()


def enlarge_maps(maps: Tensor, size: tuple[int, int], sigma: float = 0.0) -> Tensor:
    """Enlarge maps to a size and smooth them there: two small matrix products.

    Args:
        maps: Shape ``(..., h, w)``.
        size: Height and width of the result.
        sigma: As for :func:`enlarging_matrix`, in pixels of the result.

    Returns:
        Shape ``(..., *size)``.
    """
    rows = enlarging_matrix(maps.shape[-2], size[0], sigma).to(maps)
    columns = enlarging_matrix(maps.shape[-1], size[1], sigma).to(maps)
    return rows @ maps @ columns.T


def top_mean(maps: Tensor, share: float = 0.01) -> Tensor:
    """Mean of the highest values of each map.

    Args:
        maps: Shape ``(..., N)``.
        share: How many of the ``N``, rounded up; at least one is.

    Returns:
        Shape ``(...)``.

    Example:
        >>> top_mean(torch.tensor([1.0, 5.0, 3.0, 2.0]), 0.5)
        tensor(4.)
    """
    number = max(1, math.ceil(share * maps.shape[-1] - 1e-9))
    return maps.topk(number, dim=-1).values.mean(dim=-1)
