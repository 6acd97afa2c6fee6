"""Drawn decisions of a line: usual days, and days on which something shifts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import numpy as np

from mmdefect.line.days import Day
from mmdefect.line.histogram import bin_of

FIRST = date(2026, 10, 1)
#: Number of a day -> value of the usual line.
Course = Callable[[int], float]


def day_name(number: int) -> str:
    """``YYYY-MM-DD`` of the day of a number, from 0."""
    return (FIRST + timedelta(days=number)).isoformat()


def steady(value: float) -> Course:
    """The same every day."""
    return lambda number: value


def from_day(first: int, before: float, after: float) -> Course:
    """Another value from a day on."""
    return lambda number: after if number >= first else before


USUAL_GREY, USUAL_SCORE, USUAL_ALARMS = steady(120), steady(1), steady(0.02)


def drawn_values(
    number: int,
    images: int,
    random: np.random.Generator,
    *,
    brightness: Course = USUAL_GREY,
    score: Course = USUAL_SCORE,
    alarms: Course = USUAL_ALARMS,
) -> list[dict[str, Any]]:
    """Of each image of a day its score, brightness, sharpness and decision.

    Args:
        number: Of the day.
        images: How many.
        brightness: Mean of the grey values.
        score: By which all scores are multiplied.
        alarms: Share of defective images.
    """
    scores = score(number) * random.gamma(9, 0.03, images)
    greys = random.normal(brightness(number), 8, images)
    sharp = random.normal(300, 40, images)
    wrong = random.random(images) < alarms(number)
    return [
        dict(
            score=float(scores[at]),
            brightness=float(greys[at]),
            sharpness=float(sharp[at]),
            decision='defective' if wrong[at] else 'ok',
        )
        for at in range(images)
    ]


def drawn_day(
    number: int,
    images: int,
    random: np.random.Generator,
    *,
    version: str = 'v0001',
    product: str | None = None,
    **courses: Course,
) -> Day:
    """The sums that a log keeps of such a day."""
    values = drawn_values(number, images, random, **courses)
    return Day(
        day=day_name(number),
        version=version,
        product=product,
        decisions=dict(Counter(one['decision'] for one in values)),
        histograms={
            name: dict(Counter(bin_of(one[name]) for one in values))
            for name in ('score', 'brightness', 'sharpness')
        },
    )


def drawn_rows(
    days: int, images: int, *, seed: int = 0, version: str = 'v0001', **courses: Course
) -> Iterator[dict[str, Any]]:
    """Rows of such days for a log; one image in twenty goes to the queue."""
    random = np.random.default_rng(seed)
    for number in range(days):
        for at, one in enumerate(drawn_values(number, images, random, **courses)):
            body = {name: one[name] for name in ('brightness', 'sharpness')}
            if at % 20 == 0:
                body['queued'] = 'margin'
            yield dict(
                kind='decision',
                time=f'{day_name(number)}T{at // 60 % 24:02d}:{at % 60:02d}:00',
                version=version,
                image=f'{number:032x}{at:032x}',
                decision=one['decision'],
                score=one['score'],
                threshold=0.6,
                body=body,
            )
