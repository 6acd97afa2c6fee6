"""What is measured of a line, day by day, and whether it is still in its band.

A histogram has left its band when two things hold: it differs from the reference by
more than chance explains (Kolmogorov-Smirnov), and by enough to matter (population
stability index). Either alone gives false alarms: the index of few images is large
by chance, the test of many images finds differences that matter to nobody. A share has
left its band when the binomial law does not explain it.

``ks_p`` is the chance of a false alarm of one measure over :data:`MONTH` days, so
each day is tested at ``ks_p / MONTH``. Over more days it grows in proportion.

Values are known to a bin, 4.4 %: where images hardly differ, less does not show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mmdefect.line.drift import (
    NO_VALUE,
    binomial_p,
    clopper_pearson,
    kolmogorov_smirnov,
    quantiles,
    stability_index,
    windows,
)
from mmdefect.line.settings import DriftBands

State = Literal['ok', 'out', 'undecided']
Histogram = Mapping[int, int]
"""Bin of :mod:`mmdefect.line.histogram` -> images."""
#: Days that share the chance of a false alarm.
MONTH = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """One measure, day by day.

    Attributes:
        measure: ``'score'``, ``'brightness'``, ``'sharpness'``, ``'alarms'`` ...
        version: Whose; None of what is measured of the picture.
        product: Of which; None of all, or if none is known.
        days: ``YYYY-MM-DD``, ascending; D of them.
        images: ``(D,)`` of each day, with those of its window.
        states: Of each day: with few images ``'undecided'``.
        distance: ``(D,)`` of Kolmogorov and Smirnov; of a share, the share itself.
        p: ``(D,)`` chance of at least so much without drift.
        normal: The reference's values at :data:`.drift.QUANTILES`; of a share lowest
            and highest.
        pictures: Of what is measured of the picture: the versions that saw them.
        reference: The version whose reference these are held against.
        psi: ``(D,)`` population stability index; None of a share.
        quantiles: ``(D, 3)`` of each day, NaN where there is none; None of a share.
    """

    measure: str
    version: str | None
    product: str | None
    days: tuple[str, ...]
    images: np.ndarray
    states: tuple[State, ...]
    distance: np.ndarray
    p: np.ndarray
    normal: tuple[float, ...]
    pictures: tuple[str, ...] = ()
    reference: str | None = None
    psi: np.ndarray | None = None
    quantiles: np.ndarray | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data: numbers that are none become null."""
        plain: dict[str, Any] = {
            name: _plain(value)
            for name, value in vars(self).items()
            if value is not None or name in ('version', 'product')
        }
        return {
            **plain,
            'state': self.state,
            'left': self.left,
            'out_since': self.out_since,
        }

    @property
    def left(self) -> str | None:
        """The first day out of the band; None if there was none."""
        return self.days[self.states.index('out')] if 'out' in self.states else None

    @property
    def out_since(self) -> str | None:
        """First day out of the band since it was last in it; None if it is in it."""
        found = None
        for day, state in zip(self.days, self.states, strict=True):
            if state == 'ok':
                found = None
            elif state == 'out' and found is None:
                found = day
        return found

    @property
    def decided(self) -> int | None:
        """Place of the newest day that had images enough; None if none had."""
        at = [n for n, state in enumerate(self.states) if state != 'undecided']
        return at[-1] if at else None

    @property
    def state(self) -> State:
        """State of that day."""
        return 'undecided' if self.decided is None else self.states[self.decided]


def trace_histogram(
    days: Mapping[str, Histogram],
    normal: Histogram,
    bands: DriftBands,
    *,
    measure: str,
    version: str | None = None,
    product: str | None = None,
) -> Trace:
    """Compare the histograms of days with that of the reference.

    Args:
        days: ``YYYY-MM-DD`` -> histogram.
        normal: Histogram of the reference.
        bands: When it has left its band.
        measure: Its name; with ``version`` and ``product`` for the trace.

    Raises:
        ImportError: SciPy is not installed.
    """
    names = sorted(days)
    bins = sorted({NO_VALUE, *normal, *(n for one in days.values() for n in one)})
    expected = np.array([normal.get(number, 0) for number in bins])
    rows = [[days[day].get(number, 0) for number in bins] for day in names]
    counts = np.array(rows, int).reshape(-1, len(bins))
    counts = windows(names, counts, bands.window_days)
    images = counts.sum(axis=1)
    index = stability_index(expected, counts)
    distance, p = kolmogorov_smirnov(expected, counts)
    few = (images < bands.least) | (expected.sum() < bands.least)
    return Trace(
        measure=measure,
        version=version,
        product=product,
        days=tuple(names),
        images=images,
        states=_states((index > bands.psi) & (p < bands.ks_p / MONTH), few),
        distance=distance,
        p=p,
        normal=tuple(quantiles(bins, expected)),
        psi=index,
        quantiles=np.array([quantiles(bins, row) for row in counts]).reshape(-1, 3),
    )


def trace_share(
    days: Mapping[str, tuple[int, int]],
    normal: tuple[int, int],
    bands: DriftBands,
    *,
    measure: str,
    version: str | None = None,
    product: str | None = None,
) -> Trace:
    """Compare shares of days, such as that of alarms, with that of the reference.

    The true share may lie in the Clopper-Pearson interval of the reference, and by
    ``bands.alarms`` beside it. Half of the chance of a false alarm goes to that
    interval, once, the other half to the days.

    Args:
        days: ``YYYY-MM-DD`` -> images that are counted, all images.
        normal: Both numbers of the reference.
        bands: When it has left its band.
        measure: Its name; with ``version`` and ``product`` for the trace.

    Raises:
        ImportError: SciPy is not installed.
    """
    names = sorted(days)
    both = np.array([days[day] for day in names], int).reshape(-1, 2)
    hits, images = windows(names, both, bands.window_days).T
    low, high = clopper_pearson(*normal, bands.ks_p / 2)
    band = max(0.0, low - bands.alarms), min(1.0, high + bands.alarms)
    p = binomial_p(hits, images, band)
    few = (images < bands.least) | (normal[1] < bands.least)
    return Trace(
        measure=measure,
        version=version,
        product=product,
        days=tuple(names),
        images=images,
        states=_states(p < bands.ks_p / 2 / MONTH, few),
        distance=hits / np.maximum(images, 1),
        p=p,
        normal=band,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _states(out: np.ndarray, few: np.ndarray) -> tuple[State, ...]:
    return tuple(
        'undecided' if small else 'out' if gone else 'ok'
        for gone, small in zip(out.tolist(), few.tolist(), strict=True)
    )
