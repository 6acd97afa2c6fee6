"""Things timed in turn, so that whatever else a machine does slows all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
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
    taken = in_turn(
        {'a': a, 'b': b}, rounds=pairs, warmup=warmup, progress=progress, clock=clock
    )
    return PairTimes(a=tuple(taken['a']), b=tuple(taken['b']))


def in_turn(
    sides: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 2,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time several things directly after each other, each of them first in its turn.

    Returns:
        Seconds by name, round by round, those of the warm-up left out.

    Raises:
        ValueError: If there are no rounds, or ``warmup`` is negative.
    """
    check_range('rounds', rounds, 1)
    check_range('warmup', warmup, 0)
    names = list(sides)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            begin = clock()
            sides[name]()
            if number >= 0:
                taken[name].append(clock() - begin)
        if progress is not None and number >= 0:
            progress(number + 1, rounds)
    return taken
