"""What is kept of the rows of a day, so that nobody has to read them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from mmdefect.line.tables import MEASURES


@dataclass(frozen=True, kw_only=True)
class Day:
    """What happened on a day (UTC), of one version and one product.

    Attributes:
        day: As ``'2026-11-30'``.
        version: Of the model.
        product: None where it is not known, or of models that know none.
        decisions: How many of each: ``{'ok': 96, 'defective': 4}``.
        verdicts: How many of each were given on this day, whenever it was decided.
        queued: How many decisions a person has to look at, or had to.
        histograms: Of ``'score'``, ``'brightness'``, ``'sharpness'``, ``'distance'``
            (to the nearest product, of models that tell), where there are any: bin ->
            number of images. :func:`mmdefect.line.histogram.bin_of` and
            :func:`~mmdefect.line.histogram.lower_edge` say what a bin is.
    """

    day: str
    version: str | None
    product: str | None
    decisions: Mapping[str, int] = field(default_factory=dict)
    verdicts: Mapping[str, int] = field(default_factory=dict)
    queued: int = 0
    histograms: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """How many were decided on."""
        return sum(self.decisions.values())


def days_of(counted: Iterable[tuple[Any, ...]]) -> list[Day]:
    """Days with decisions or verdicts.

    Args:
        counted: Rows of the table, in the order of its key.
    """
    days = []
    for (day, version, product), group in groupby(counted, lambda one: one[:3]):
        counts: dict[str, dict[Any, int]] = {}
        for *_, name, value, count in group:
            counts.setdefault(name, {})[value] = count
        if 'decision' in counts or 'verdict' in counts:
            days.append(
                Day(
                    day=day,
                    version=version or None,
                    product=product or None,
                    decisions=counts.get('decision', {}),
                    verdicts=counts.get('verdict', {}),
                    queued=counts.get('queued', {}).get(1, 0),
                    histograms={n: counts[n] for n in MEASURES if n in counts},
                )
            )
    return days
