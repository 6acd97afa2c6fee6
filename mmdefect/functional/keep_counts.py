"""Arithmetic of pruning: how many channels stay, and which."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def legacy_fractions() -> list[float]:
    """FTL's 99 shares: 0.01 added to itself until it reaches 1.

    The sums are not ``i / 100`` to the last bit, and at i = 10, 30 and 70 that decides
    how a half is rounded.

    Example:
        >>> fractions = legacy_fractions()
        >>> len(fractions), fractions[-1]
        (99, 0.9900000000000007)
    """
    fractions = []
    fraction = 0.01
    # The 99th sum is 0.9900000000000007, the hundredth no longer below 1.
    while fraction < 1.0:
        fractions.append(fraction)
        fraction += 0.01
    return fractions


def legacy_keep_count(channels: int, fraction: float) -> int:
    """FTL's ``round((C - 1) f)``, halves to even: never all channels, perhaps none.

    Raises:
        ValueError: The share is out of range.

    Example:
        >>> legacy_keep_count(64, 0.5)  # half of 63, to even
        32
    """
    _check_share(fraction)
    return round((channels - 1) * fraction)


def keep_count(
    channels: int, fraction: float, *, min_channels: int = 1, round_to: int = 1
) -> int:
    """Channels that stay: the share, halves up, as a multiple, within bounds.

    Args:
        channels: How many there are.
        fraction: Share that stays, in [0, 1].
        min_channels: As many stay at least, rounded up to a multiple, if there are as
            many.
        round_to: The number is the nearest multiple of it, all channels aside.

    Raises:
        ValueError: The share is out of range.

    Example:
        >>> keep_count(64, 0.3), keep_count(64, 0.3, round_to=8)
        (19, 16)
    """
    _check_share(fraction)
    multiple = math.floor(channels * fraction / round_to + 0.5) * round_to
    least = math.ceil(max(min_channels, 1) / round_to) * round_to
    return min(channels, max(multiple, least))


def _check_share(fraction: float) -> None:
    if not 0 <= fraction <= 1:
        raise ValueError(f'fraction={fraction}: expected at least 0 and at most 1')


def top_channels(scores: Tensor, count: int) -> list[int]:
    """The channels of the highest scores, ascending; of equals the later ones stay.

    Args:
        scores: Shape ``(C,)``.
        count: How many, 0 to C.

    Raises:
        ValueError: A score is NaN, or there are not as many.

    Example:
        >>> top_channels(torch.tensor([0.1, 0.9, 0.5]), 2)
        [1, 2]
    """
    if scores.ndim != 1 or not 0 <= count <= len(scores) or bool(scores.isnan().any()):
        raise ValueError(
            f'count={count} of the scores {scores.flatten()[:5].tolist()}... of shape '
            f'{tuple(scores.shape)}: expected at most C of C numbers'
        )
    order = sorted(range(len(scores)), key=lambda i: (float(scores[i]), i))
    return sorted(order[len(order) - count :])


def union_channels(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """Channels of either, ascending.

    Example:
        >>> union_channels([4, 1], [2, 1])
        [1, 2, 4]
    """
    return sorted({*a, *b})


def global_counts(
    scores: Sequence[Tensor],
    threshold: float,
    *,
    min_channels: int = 1,
    round_to: int = 1,
) -> list[int]:
    """Channels that stay of each layer when one threshold cuts all layers.

    Scores of different layers are of different size, so each layer's are divided by
    their mean first; a layer of zeros counts as ones.

    Args:
        scores: One tensor ``(C,)`` a layer, never negative.
        threshold: Of the divided scores; as high and above stays.
        min_channels: As many stay at least, if there are as many.
        round_to: Numbers are rounded to a multiple of it.

    Raises:
        ValueError: A score is negative or NaN.

    Example:
        >>> global_counts([torch.tensor([1.0, 3]), torch.tensor([20.0, 20])], 1.0)
        [1, 2]
    """
    counts = []
    for layer in scores:
        if not bool((layer >= 0).all()):
            raise ValueError(
                f'scores={float(layer.min()):g}: expected at least 0 where one '
                'threshold cuts all layers; use the same share of every layer instead'
            )
        mean = float(layer.mean())
        relative = layer / mean if mean > 0 else torch.ones_like(layer)
        share = float((relative >= threshold).double().mean())
        counts.append(
            keep_count(len(layer), share, min_channels=min_channels, round_to=round_to)
        )
    return counts


def bisect_budget(
    cost: Callable[[float], float],
    budget: float,
    *,
    low: float,
    high: float,
    steps: int = 40,
) -> float:
    """The largest size whose cost is within a budget, by bisection.

    Args:
        cost: Grows with the size.
        budget: What it may cost.
        low: The smallest size.
        high: The largest.
        steps: Halvings of the interval.

    Raises:
        ValueError: The smallest size costs more.

    Example:
        >>> round(bisect_budget(lambda size: size**2, 4.0, low=0.0, high=10.0), 6)
        2.0
    """
    if not (smallest := cost(low)) <= budget:  # a budget of NaN as well
        raise ValueError(
            f'budget={budget:g}: expected at least {smallest:g}, what the smallest '
            'network costs; raise it, or lower min_channels'
        )
    if cost(high) <= budget:
        return high
    for _ in range(steps):
        middle = (low + high) / 2
        if cost(middle) <= budget:
            low = middle
        else:
            high = middle
    return low
