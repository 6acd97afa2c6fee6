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
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain
from typing import Any, Literal, NamedTuple

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
from mmdefect.line.log import Day
from mmdefect.line.reference import Reference, total
from mmdefect.line.settings import DriftBands

State = Literal['ok', 'out', 'undecided']
Histogram = Mapping[int, int]
"""Bin of :mod:`mmdefect.line.histogram` -> images."""
#: Days that share the chance of a false alarm.
MONTH = 30
#: Measured of the picture, whatever the version is.
PIXELS = ('brightness', 'sharpness')
SCORE, ALARMS, UNKNOWN = 'score', 'alarms', 'unknown products'
#: Share -> the decision that is counted.
SHARES = {ALARMS: 'defective', UNKNOWN: 'unknown product'}


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


class _Key(NamedTuple):
    """Days that are held against one thing: a measure of a reference."""

    measure: str
    reference: str
    product: str | None


def traces_of(
    days: Sequence[Day], references: Mapping[str, Reference], bands: DriftBands
) -> tuple[list[Trace], list[str]]:
    """All that is measured of a line.

    Scores, routing distances and shares belong to a version and are held against its
    own reference. Brightness and sharpness do not: a version without a reference goes
    on with that of the version before it.

    Args:
        days: Of the log.
        references: By version.
        bands: When a measure has left its band.

    Returns:
        The traces, and what of the last month is undecided for want of a reference,
        in sentences.

    Raises:
        ImportError: SciPy is not installed.
    """
    groups: defaultdict[_Key, defaultdict[str, list[Day]]]
    groups = defaultdict(lambda: defaultdict(list))
    missing: defaultdict[str, set[str]] = defaultdict(set)
    recent = _month_before(max((day.day for day in days), default=''))
    for day in days:
        for measure in _measures(day):
            product = None if measure == UNKNOWN else day.product
            reference = _reference(measure, day.version or '', references)
            if reference is not None and _normal(reference, measure, product):
                groups[_Key(measure, reference.version, product)][day.day].append(day)
            elif day.day >= recent and (measure != UNKNOWN or _is_unknown(day)):
                missing[_whose(day.version, product)].add(measure)
    found = [
        _trace(key, by_day, references[key.reference], bands)
        for key, by_day in groups.items()
        if _is_measured(key, [*chain(*by_day.values())], references[key.reference])
    ]
    said = [
        f'{", ".join(sorted(measures))} of {whose}: undecided, there is no '
        'reference; make one with `mmdefect line reference`'
        for whose, measures in missing.items()
    ]
    return found, said


def _month_before(day: str) -> str:
    if not day:
        return day
    return (date.fromisoformat(day) - timedelta(days=MONTH)).isoformat()


def _measures(day: Day) -> list[str]:
    """What is measured of a day; of unknown products only that they are."""
    alone = set(day.decisions) <= {SHARES[UNKNOWN]}
    known = [] if alone else dict.fromkeys([ALARMS, SCORE, *day.histograms])
    return [*known, UNKNOWN] if day.images else []


def _reference(
    measure: str, version: str, references: Mapping[str, Reference]
) -> Reference | None:
    if measure in PIXELS:
        before = [one for one in references if _order(one) <= _order(version)]
        version = max(before, key=_order, default=version)
    return references.get(version)


def _order(version: str) -> tuple[int, str]:
    return len(version), version  # v9999, v10000


def _is_measured(key: _Key, days: Sequence[Day], reference: Reference) -> bool:
    """Not of a model that gives no score, or that knows every product."""
    if key.measure == SCORE:
        return any(SCORE in one.histograms for one in (*days, *reference.products))
    return key.measure != UNKNOWN or any(map(_is_unknown, days))


def _is_unknown(day: Day) -> bool:
    return bool(_hits(day, UNKNOWN))


def _normal(reference: Reference, measure: str, product: str | None) -> Day | None:
    """What a measure is held against; None if the reference has no such thing."""
    if measure == UNKNOWN:
        counts = total(one.decisions for one in reference.products)
        return Day(day='', version=reference.version, product=None, decisions=counts)
    found = reference.of(product)
    lacks = found is not None and measure not in (ALARMS, SCORE, *found.histograms)
    return None if lacks else found


def _trace(
    key: _Key, days: Mapping[str, list[Day]], reference: Reference, bands: DriftBands
) -> Trace:
    normal = _normal(reference, key.measure, key.product)
    assert normal is not None  # noqa: S101  looked up before
    version = None if key.measure in PIXELS else key.reference
    if key.measure in SHARES:
        shares = {
            day: (sum(_hits(one, key.measure) for one in some), _images(some))
            for day, some in days.items()
        }
        both = (_hits(normal, key.measure), normal.images)
        return trace_share(
            shares,
            both,
            bands,
            measure=key.measure,
            version=version,
            product=key.product,
        )
    histograms = {
        day: total(_histogram(one, key.measure) for one in some)
        for day, some in days.items()
    }
    return trace_histogram(
        histograms,
        _histogram(normal, key.measure),
        bands,
        measure=key.measure,
        version=version,
        product=key.product,
    )


def _hits(day: Day, measure: str) -> int:
    return day.decisions.get(SHARES[measure], 0)


def _images(days: Sequence[Day]) -> int:
    return sum(one.images for one in days)


def _histogram(day: Day, measure: str) -> Histogram:
    """With images without a score, which are those without any box."""
    found = day.histograms.get(measure, {})
    none = day.images - sum(found.values()) if measure == SCORE else 0
    return {**found, NO_VALUE: none} if none > 0 else found


def _whose(version: str | None, product: str | None) -> str:
    return f'{version or "no version"}{f" ({product})" if product else ""}'
