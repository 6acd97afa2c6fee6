"""Charts as HTML that follows the page's theme and width: no script, no image.

Shapes are drawn in a box of 100 x 100 that is stretched to its place; letters are HTML
beside it, so that they keep their size on a narrow screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

BINS = 48
# Apart for colour-blind readers, and on white as on black (Paul Tol, 'bright').
GOOD, BAD, SEEN = '#4477aa', '#ee6677', '#ccbb44'
LINES = ('#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377')


def histogram(
    good: np.ndarray,
    bad: np.ndarray,
    seen: np.ndarray,
    *,
    threshold: float,
    low: float,
    high: float,
) -> str:
    """Scores of what is a defect above, of what is none below, and the threshold.

    Args:
        good: ``(N,)``, scores of what is no defect.
        bad: ``(M,)``, of defects.
        seen: ``(K,)``, of other pictures, of which nobody has said what they show.
        threshold: Where the line stands.
        low: Left end of the scale; what is further is counted there.
        high: Right end.
    """
    edges = np.linspace(low, high, BINS + 1)
    counts = [np.histogram(one.clip(low, high), edges)[0] for one in (bad, good)]
    # Roots: one image among thousands is still seen.
    heights = [np.sqrt(one / max(1, one.max(initial=0))) * 46 for one in counts]
    wide = 100 / BINS

    def places(values: Any) -> Any:
        return 100 * np.clip((values - low) / ((high - low) or 1), 0, 1)

    shapes = [
        _rectangle(at * wide, 50 - height if up else 50, wide, height, colour)
        for up, colour, row in ((1, BAD, heights[0]), (0, GOOD, heights[1]))
        for at, height in enumerate(row)
        if height
    ]
    legend = (
        ('defects', BAD, bad),
        ('no defects', GOOD, good),
        ('looked at', SEEN, seen),
    )
    marks = [f'<i class="seen" style="left:{x:.2f}%"></i>' for x in places(seen)]
    marks.append(f'<i class="at" style="left:{places(threshold):.2f}%"></i>')
    return _framed(
        ''.join(shapes) + _line([(0, 50), (100, 50)], 'currentColor', 'axis'),
        inside=''.join(marks),
        below=(f'{low:.3g}', f'score, threshold {threshold:.4g}', f'{high:.3g}'),
        legend={name: colour for name, colour, some in legend if len(some)},
        label=f'{len(bad)} defects and {len(good)} others by score',
    )


def lines(
    curves: Mapping[str, Sequence[float | None]],
    days: Sequence[str],
    *,
    band: float | None = None,
    percent: bool = False,
) -> str:
    """Values by day, each curve with its name, and the band that they should keep to.

    Args:
        curves: By name, one value a day; None where there is none.
        days: As they are written below.
        band: Drawn from 0 to here.
        percent: Whether values are shares.
    """
    known = [v for curve in curves.values() for v in curve if v is not None]
    top = 1.1 * max([*known, band or 0, 0.01])
    step = 100 / max(1, len(days) - 1)
    colours = {name: LINES[at % len(LINES)] for at, name in enumerate(curves)}
    shapes = []
    if band is not None:
        height = 100 * band / top
        shapes.append(_rectangle(0, 100 - height, 100, height, 'currentColor', 'band'))
    for name, curve in curves.items():
        for piece in _pieces(curve):
            points = [(at * step, 100 - 100 * value / top) for at, value in piece]
            if len(points) == 1:  # a day alone: a short stroke
                (x, y), half = points[0], step / 6
                points = [(max(0, x - half), y), (min(100, x + half), y)]
            shapes.append(_line(points, colours[name]))
    return _framed(
        ''.join(shapes),
        inside=f'<b class="top">{f"{top:.0%}" if percent else f"{top:.3g}"}</b>',
        below=(days[0], '', days[-1]) if days else ('', 'nothing yet', ''),
        legend=colours,
        label=f'{", ".join(curves)} by day',
    )


def _pieces(curve: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Runs of days that have a value."""
    found: list[list[tuple[int, float]]] = [[]]
    for at, value in enumerate(curve):
        if value is None:
            found.append([])
        else:
            found[-1].append((at, value))
    return [piece for piece in found if piece]


def _rectangle(
    x: float, y: float, wide: float, high: float, colour: str, kind: str = 'bar'
) -> str:
    return (
        f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" width="{wide:.2f}" '
        f'height="{high:.2f}" fill="{colour}"/>'
    )


def _line(
    points: Sequence[tuple[float, float]], colour: str, kind: str = 'curve'
) -> str:
    text = ' '.join(f'{x:.2f},{y:.2f}' for x, y in points)
    return f'<polyline class="{kind}" points="{text}" stroke="{colour}"/>'


def _framed(
    shapes: str,
    *,
    inside: str,
    below: tuple[str, str, str],
    legend: Mapping[str, str],
    label: str,
) -> str:
    names = ''.join(
        f'<span><i style="background:{colour}"></i>{escape(name)}</span>'
        for name, colour in legend.items()
    )
    marks = ''.join(f'<span>{escape(text)}</span>' for text in below)
    return (
        f'<figure class="chart"><figcaption>{names}</figcaption><div class="plot">'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{shapes}</svg>{inside}</div>'
        f'<div class="scale">{marks}</div></figure>'
    )
