"""Which days of a line are held against which reference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import chain
from typing import NamedTuple

from mmdefect.line.days import Day
from mmdefect.line.drift import NO_VALUE
from mmdefect.line.reference import Reference, total
from mmdefect.line.settings import DriftBands
from mmdefect.line.traces import (
    MONTH,
    Histogram,
    Trace,
    trace_histogram,
    trace_share,
)

#: Measured of the picture, whatever the version is.
PIXELS = ('brightness', 'sharpness')
SCORE, ALARMS, UNKNOWN = 'score', 'alarms', 'unknown products'
#: Share -> the decision that is counted.
SHARES = {ALARMS: 'defective', UNKNOWN: 'unknown product'}


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
    trace = trace_histogram(
        histograms,
        _histogram(normal, key.measure),
        bands,
        measure=key.measure,
        version=version,
        product=key.product,
    )
    if key.measure not in PIXELS:
        return trace
    saw = {one.version or '' for one in chain(*days.values())}
    pictures = tuple(sorted(saw, key=_order))
    return replace(trace, pictures=pictures, reference=key.reference)


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
