"""Alarm thresholds whose false-alarm rate is certified by good images.

The bound is that of Wilks (Annals of Mathematical Statistics 12, 1941): it holds for
scores of any distribution, as long as images to come are like those that were counted.
An alarm is ``score > threshold``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mmdefect.functional._checks import check_vectors


@dataclass(frozen=True, kw_only=True)
class ToleranceLimit:
    """Threshold of an alarm, and what its images say about false alarms.

    Attributes:
        threshold: An alarm is a score above it.
        rate: Wanted share of good images with an alarm, at most.
        confidence: How sure that shall be.
        number: How many good images it was chosen from.
        certified: Whether they certify the rate. If not, the threshold is their
            quantile: the rate is met on average over such sets of images, and where
            even that takes more of them, the threshold is their highest score.
        certifiable: Lowest rate that so many images certify, at their highest score; 1
            where they certify nothing, since a model learned from each in its turn.
    """

    threshold: float
    rate: float
    confidence: float
    number: int
    certified: bool
    certifiable: float

    @property
    def text(self) -> str:
        """What is certified, in a line.

        Example:
            >>> tolerance_limit(torch.arange(20.0)).text
            '20 good images certify 13.9 % at 95 %; 5 % is not certified: needs 59'
        """
        verb = ' certifies' if self.number == 1 else 's certify'
        held = f'{self.number} good image{verb}'
        wanted, sure = _percent(self.rate), f'at {_percent(self.confidence)}'
        if self.certified:
            return f'{held} {wanted} {sure}'
        needed = images_needed(self.rate, self.confidence)
        if self.certifiable >= 1:
            return (
                f'{held} nothing, since each was learned in its turn; {wanted} {sure} '
                f'needs {needed} that are not learned'
            )
        found = _percent(self.certifiable)
        return f'{held} {found} {sure}; {wanted} is not certified: needs {needed}'


def certifiable_rate(number: int, confidence: float = 0.95) -> float:
    """Lowest false-alarm rate that good images certify, ``1 - (1 - c)^(1/n)``.

    It is that of their highest score as threshold.

    Args:
        number: Of good images that the model did not learn from.
        confidence: How sure it shall be, in (0, 1).

    Raises:
        ValueError: There is no image, or the confidence is out of range.

    Example:
        >>> round(certifiable_rate(59), 4)
        0.0495
    """
    _check_open(confidence=confidence)
    if number < 1:
        raise ValueError(f'number={number}: expected at least one good image')
    return -math.expm1(math.log1p(-confidence) / number)


def images_needed(rate: float, confidence: float = 0.95) -> int:
    """Fewest good images that certify a false-alarm rate.

    Args:
        rate: Wanted rate, in (0, 1).
        confidence: How sure it shall be, in (0, 1).

    Raises:
        ValueError: One of them is out of range.

    Example:
        >>> images_needed(0.05), images_needed(0.02)
        (59, 149)
    """
    _check_open(rate=rate, confidence=confidence)
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate) - 1e-9)


def tolerance_limit(
    scores: Tensor, *, rate: float = 0.05, confidence: float = 0.95
) -> ToleranceLimit:
    """Lowest threshold that certifies a false-alarm rate.

    It is the score above which lie the largest number ``j`` of the ``n`` scores with
    ``P(Binomial(n, rate) <= j) <= 1 - confidence``. Equal scores only lower the rate.

    Args:
        scores: Of good images that the model did not learn from, shape ``(N,)``.
        rate: Wanted share of good images with an alarm, at most, in (0, 1).
        confidence: How sure that shall be, in (0, 1).

    Returns:
        The threshold, exact in the type of the scores. When there are too few images
        to certify the rate, the quantile ``ceil((n + 1) * (1 - rate))``-th lowest (at
        most the highest) score, marked as not certified.

    Raises:
        ValueError: There is no score, one is not finite, they are not one-dimensional,
            or the rate or the confidence is out of range.

    Example:
        >>> limit = tolerance_limit(torch.arange(93.0))
        >>> limit.threshold, limit.certified  # one of 93 may lie above
        (91.0, True)
    """
    _check_open(rate=rate, confidence=confidence)
    check_vectors(scores=scores)
    number = len(scores)
    if not number or not bool(scores.isfinite().all()):
        raise ValueError(
            f'{number} scores, {int((~scores.isfinite()).sum())} of them NaN or '
            'infinite: expected finite scores of at least one good image'
        )
    certified = number >= images_needed(rate, confidence)
    if certified:
        above = _allowed_above(number, rate, confidence)
    else:
        above = max(0, number - math.ceil((number + 1) * (1 - rate) - 1e-9))
    ascending = scores.detach().sort().values
    return ToleranceLimit(
        threshold=float(ascending[number - 1 - above]),
        rate=rate,
        confidence=confidence,
        number=number,
        certified=certified,
        certifiable=certifiable_rate(number, confidence),
    )


def _allowed_above(number: int, rate: float, confidence: float) -> int:
    """Largest ``j`` with ``P(Binomial(number, rate) <= j) <= 1 - confidence``."""
    above = torch.arange(number, dtype=torch.float64)
    below = number - above
    ways = math.lgamma(number + 1) - (above + 1).lgamma() - (below + 1).lgamma()
    log_shares = ways + above * math.log(rate) + below * math.log1p(-rate)
    tail = log_shares.exp().cumsum(0)
    fits = int((tail <= (1 - confidence) * (1 + 1e-9)).sum())
    return max(fits - 1, 0)


def _check_open(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ValueError(f'{name}={share}: expected a share between 0 and 1')


def _percent(share: float) -> str:
    return f'{100 * share:.3g} %'
