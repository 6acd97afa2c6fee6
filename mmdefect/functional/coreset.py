"""Coresets: a few points that stand for many."""

from __future__ import annotations

import torch
from torch import Tensor


def k_center_greedy(points: Tensor, number: int, *, start: int = 0) -> Tensor:
    """Indices of points such that every point is near one of them.

    Takes again and again the point that is farthest from all taken so far (Sener and
    Savarese, ICLR 2018), as PatchCore does (Roth et al., CVPR 2022).

    Args:
        points: Shape ``(N, D)``.
        number: How many to take; at most ``N`` are.
        start: Index of the first one.

    Returns:
        Shape ``(min(number, N),)``, in the order in which they were taken.

    Raises:
        ValueError: If there is no point or ``number`` is not positive.

    Example:
        >>> k_center_greedy(torch.tensor([[0.0], [1.0], [5.0], [9.0]]), 3)
        tensor([0, 3, 2])
    """
    if not len(points) or number < 1:
        raise ValueError(
            f'number={number} of {len(points)} points: expected at least one of each'
        )
    taken = torch.empty(min(number, len(points)), dtype=torch.long)
    distances = points.new_full((len(points),), torch.inf)
    index = start
    for place in range(len(taken)):
        taken[place] = index
        distances = torch.minimum(distances, (points - points[index]).norm(dim=1))
        index = int(distances.argmax())
    return taken


def nearest_distance(points: Tensor, memory: Tensor) -> Tensor:
    """Distance of every point to the nearest one in memory.

    Args:
        points: Shape ``(N, D)``.
        memory: Shape ``(M, D)``, not empty.

    Returns:
        Shape ``(N,)``.

    Example:
        >>> nearest_distance(torch.tensor([[3.0]]), torch.tensor([[0.0], [5.0]]))
        tensor([2.])
    """
    return torch.cdist(points, memory).amin(dim=1)
