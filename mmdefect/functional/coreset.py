"""Coresets: a few points that stand for many, and which of them is nearest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Rows of a block: its products with a thousand points stay in the processor's cache.
_BLOCK = 512
# Of how many of the farthest points the next ones are chosen, before all look again.
_POOL = 4096


def k_center_greedy(points: Tensor, number: int, *, start: int = 0) -> Tensor:
    """Indices of points such that every point is near one of them, best ones first.

    Takes again and again the point that is farthest from all taken so far (Sener and
    Savarese, ICLR 2018), as PatchCore does (Roth et al., CVPR 2022). The first ``k`` of
    them are what ``number=k`` gives.

    Only the farthest points can be next, so those choose among themselves as long as
    one of them stays farther than all others were; then all points learn of what was
    taken in one matrix product. That is exact but for the rounding of float32: of
    points that are equally far any may come first, and none is taken twice.

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
    # Around their middle, where squares cost the fewest digits.
    points = points.float()
    points = points - points.mean(dim=0)
    squares = points.square().sum(dim=1)
    far = torch.full_like(squares, torch.inf)
    taken = fresh = [start]
    while len(taken) < min(number, len(points)):
        _bring_near(far, points, squares, fresh)
        far[fresh] = -1.0
        fresh = _farthest(points, squares, far, min(number, len(points)) - len(taken))
        taken = taken + fresh
    return torch.tensor(taken)


def _bring_near(
    far: Tensor, points: Tensor, squares: Tensor, fresh: Sequence[int]
) -> None:
    """Lower the squared distances ``far`` to those from points taken just now."""
    centers, lengths = points[fresh].T, squares[fresh]
    for begin in range(0, len(points), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        found = torch.addmm(lengths, points[part], centers, alpha=-2).amin(dim=1)
        found = (found + squares[part]).clamp(min=0)
        torch.minimum(far[part], found, out=far[part])


def _farthest(points: Tensor, squares: Tensor, far: Tensor, most: int) -> list[int]:
    """What is taken next, as long as the pool of the farthest points can tell."""
    values, pool = far.topk(min(_POOL, len(far)))
    others = values[-1] if len(pool) < len(far) else -torch.inf
    pool = pool.sort().values
    near, lengths, left = points[pool], squares[pool], far[pool]
    chosen: list[int] = []
    while len(chosen) < most:
        place = int(left.argmax())
        if chosen and left[place] <= others:
            break
        chosen.append(place)
        found = torch.addmv(lengths + lengths[place], near, near[place], alpha=-2)
        left = torch.minimum(left, found.clamp(min=0))
        left[place] = -1.0
    return pool[chosen].tolist()


def nearest(
    points: Tensor,
    memory: Tensor,
    *,
    squares: Tensor | None = None,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Distance of every point to the nearest one in memory, and which one that is.

    The nearest is found by matrix products, in blocks, and its distance is then that of
    the difference: exact, whichever of equally near ones was found.

    Args:
        points: Shape ``(N, D)``.
        memory: Shape ``(M, D)``, not empty.
        squares: Squared lengths of the memory, ``(M,)``, where they are known.
        allowed: Which of the memory a point may be compared with, bool, ``(N, M)``; a
            point that may with none is compared with all.

    Returns:
        Distances and indices, shape ``(N,)`` each.

    Example:
        >>> nearest(torch.tensor([[3.0]]), torch.tensor([[0.0], [5.0]]))
        (tensor([2.]), tensor([1]))
    """
    if squares is None:
        squares = memory.square().sum(dim=1)
    transposed = memory.T
    found: list[Tensor] = []
    for begin in range(0, len(points), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        lengths = torch.addmm(squares, points[part], transposed, alpha=-2)
        if allowed is not None:
            here = allowed[part]
            lengths.masked_fill_(~here & here.any(dim=1, keepdim=True), torch.inf)
        found.append(lengths.min(dim=1).indices)
    indices = torch.cat(found) if found else torch.zeros(0, dtype=torch.long)
    return (points - memory[indices]).norm(dim=1), indices


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
    return nearest(points, memory)[0]


def prefix_distances(
    points: Tensor,
    memory: Tensor,
    sizes: Sequence[int],
    *,
    allowed: Tensor | None = None,
) -> Tensor:
    """Distance of every point to the nearest one of several prefixes of a memory.

    Args:
        points: Shape ``(N, D)``.
        memory: Shape ``(M, D)``.
        sizes: Lengths of the prefixes, ascending, from 1 to ``M``.
        allowed: As for :func:`nearest`; a point that may be compared with none of a
            prefix is compared with all of it.

    Returns:
        Shape ``(len(sizes), N)``.

    Example:
        >>> memory = torch.tensor([[0.0], [9.0], [4.0]])
        >>> prefix_distances(torch.tensor([[5.0]]), memory, [1, 2, 3])
        tensor([[5.],
                [4.],
                [1.]])
    """
    if allowed is not None:
        return torch.stack(
            [
                nearest(points, memory[:size], allowed=allowed[:, :size])[0]
                for size in sizes
            ]
        )
    rows: list[Tensor] = []
    begin = 0
    for size in sizes:
        if size > begin:
            found = nearest(points, memory[begin:size])[0]
            rows.append(torch.minimum(rows[-1], found) if rows else found)
        else:
            rows.append(rows[-1])
        begin = size
    return torch.stack(rows)
