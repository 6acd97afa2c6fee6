"""How far histograms and shares are from a reference, and whether it is chance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from mmdefect.line.histogram import LAST, lower_edge

#: Groups of about equal share of which a stability index is made.
GROUPS = 10
#: Below all bins: images without a value, such as the score of an image without boxes.
NO_VALUE = -LAST - 1
QUANTILES = (0.05, 0.5, 0.95)


def windows(days: Sequence[str], counts: np.ndarray, width: int) -> np.ndarray:
    """Sums over each day and those before it.

    Args:
        days: ``YYYY-MM-DD``, ascending; days without images may be left out.
        counts: ``(D, B)``.
        width: Calendar days of a window.

    Returns:
        ``(D, B)``.
    """
    numbers = np.array([date.fromisoformat(day).toordinal() for day in days])
    begins = np.searchsorted(numbers, numbers - width, side='right')
    sums = np.concatenate([np.zeros_like(counts[:1]), counts.cumsum(axis=0)])
    return np.asarray(sums[1:] - sums[begins])


def stability_index(normal: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Population stability index: sum of (o - e) ln(o / e) over groups of bins.

    Siddiqi, Credit Risk Scorecards, 2006. Bins are joined to :data:`GROUPS` groups of
    about equal share of the reference; each group gets half an image more on both
    sides, so that an empty one is not infinite. Without drift it is about (groups - 1)
    (1 / n + 1 / m) for n and m images: large for few.

    Args:
        normal: ``(B,)`` images of the reference.
        counts: ``(D, B)`` images of each day.

    Returns:
        ``(D,)``.
    """
    middles = (normal.cumsum() - normal / 2) / max(1, normal.sum())
    group = np.minimum((GROUPS * middles).astype(int), GROUPS - 1)
    begins = np.unique(group, return_index=True)[1]
    expected = _shares(np.add.reduceat(normal[None], begins, axis=1))
    observed = _shares(np.add.reduceat(counts, begins, axis=1))
    terms = (observed - expected) * np.log(observed / expected)
    return np.asarray(terms.sum(axis=1))


def _shares(counts: np.ndarray) -> np.ndarray:
    more = counts + 0.5
    return np.asarray(more / more.sum(axis=1, keepdims=True))


def kolmogorov_smirnov(
    normal: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Two-sample test of each day against the reference, on bins.

    The law is the limit of many images. On bins the distance is at most that of the
    values themselves, so that p is at least theirs: it does not alarm too often.

    Args:
        normal: ``(B,)`` images of the reference.
        counts: ``(D, B)`` images of each day.

    Returns:
        Distances ``(D,)`` and p ``(D,)``; without images 0 and 1.

    Raises:
        ImportError: SciPy is not installed.
    """
    special = _special()
    n, m = normal.sum(), counts.sum(axis=1)
    known = np.maximum(m, 1)[:, None]
    gaps = np.abs(normal.cumsum() / max(1, n) - counts.cumsum(axis=1) / known)
    distance = np.where((m > 0) & (n > 0), gaps.max(axis=1), 0.0)
    effective = n * m / np.maximum(n + m, 1)
    return distance, special.kolmogorov(np.sqrt(effective) * distance)


def clopper_pearson(hits: int, number: int, p: float) -> tuple[float, float]:
    """Shares that a count does not exclude (Clopper and Pearson, 1934).

    Args:
        hits: Of ``number``.
        number: With 0 every share is possible.
        p: Chance that the true share lies outside.

    Raises:
        ImportError: SciPy is not installed.
    """
    special = _special()
    low, high = 0.0, 1.0
    if hits:
        low = float(special.betaincinv(hits, number - hits + 1, p / 2))
    if hits < number:
        high = float(special.betaincinv(hits + 1, number - hits, 1 - p / 2))
    return low, high


def binomial_p(
    hits: np.ndarray, numbers: np.ndarray, band: tuple[float, float]
) -> np.ndarray:
    """Chance of a count at least so far outside a band, for the best share in it.

    Args:
        hits: ``(D,)``, of ``numbers``.
        numbers: ``(D,)``.
        band: Lowest and highest true share.

    Returns:
        ``(D,)``, of both sides: twice the smaller one, at most 1.

    Raises:
        ImportError: SciPy is not installed.
    """
    special = _special()
    low, high = band
    # P(at least k of n) is the regularised incomplete beta function of k, n - k + 1.
    above = special.betainc(np.maximum(hits, 1), numbers - hits + 1, high)
    below = special.betainc(np.maximum(numbers - hits, 1), hits + 1, 1 - low)
    above = np.where(hits > 0, above, 1.0)
    below = np.where(hits < numbers, below, 1.0)
    return np.asarray(np.minimum(1.0, 2 * np.minimum(above, below)))


def quantiles(bins: Sequence[int], counts: np.ndarray) -> list[float]:
    """Values at :data:`QUANTILES`, to the width of a bin (4.4 %).

    Args:
        bins: ``B`` numbers, ascending.
        counts: ``(B,)``.

    Returns:
        Middles of bins; NaN without images, or where an image has no value.
    """
    total = counts.sum()
    if not total:
        return [np.nan] * len(QUANTILES)
    sums = counts.cumsum()
    at = [int(np.searchsorted(sums, q * total)) for q in QUANTILES]
    return [np.nan if bins[n] == NO_VALUE else _middle(bins[n]) for n in at]


def _middle(number: int) -> float:
    return (lower_edge(number) + lower_edge(number + 1)) / 2


def _special() -> Any:
    """Laws of chance; ``scipy.stats`` has the same and takes a second to load."""
    try:
        from scipy import special
    except ImportError as error:
        raise ImportError(
            'scipy is not installed: expected it for drift; pip install '
            '"mmdefect[line]"'
        ) from error
    return special
