"""Two things timed in turn, so that whatever else a machine does slows both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from mmdefect.utils.checks import check_range

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class PairTimes:
    """What ``a`` and ``b`` took in every pair.

    Attributes:
        a: Seconds of ``a``, pair by pair.
        b: Seconds of ``b``, pair by pair.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """``a`` over ``b`` of every pair."""
        return [a / b for a, b in zip(self.a, self.b, strict=True)]

    @property
    def ratio(self) -> float:
        """Median of the pairs' ratios, not the ratio of the medians."""
        return statistics.median(self.ratios)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile of the pairs' ratios."""
        low, _, high = statistics.quantiles(self.ratios, n=4, method='inclusive')
        return low, high

    @property
    def medians(self) -> tuple[float, float]:
        """Median seconds of ``a`` and of ``b``."""
        return statistics.median(self.a), statistics.median(self.b)

    def metrics(self, name: str) -> dict[str, float]:
        """Return flat numbers for a results file: the ratio, its quartiles, medians."""
        return {
            name: self.ratio,
            f'{name}_q25': self.quartiles[0],
            f'{name}_q75': self.quartiles[1],
            f'{name}_ours_ms': 1000 * self.medians[0],
            f'{name}_other_ms': 1000 * self.medians[1],
        }


def interleaved(
    a: Callable[[], object],
    b: Callable[[], object],
    *,
    pairs: int,
    warmup: int = 2,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> PairTimes:
    """Time ``a`` and ``b`` directly after each other, many times over.

    A machine that is busy with something else slows both runs of a pair, so the ratio
    of a pair says more than two times measured apart. Pairs start with ``a`` and with
    ``b`` in turn, because the second finds caches as the first left them.

    Raises:
        ValueError: If there are too few pairs, or ``warmup`` is negative.
    """
    check_range('pairs', pairs, 2)  # so that there are quartiles
    check_range('warmup', warmup, 0)
    taken: tuple[list[float], list[float]] = ([], [])
    for pair in range(-warmup, pairs):
        for side in (0, 1) if pair % 2 == 0 else (1, 0):
            begin = clock()
            (a, b)[side]()
            if pair >= 0:
                taken[side].append(clock() - begin)
        if progress is not None and pair >= 0:
            progress(pair + 1, pairs)
    return PairTimes(a=tuple(taken[0]), b=tuple(taken[1]))
