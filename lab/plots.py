"""A plot of many networks that lie on top of each other in a scatter plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from mmdefect.visualization.plots import (
    FAINT,
    INK,
    LINE_COLOURS,
    clean_axes,
    log_axis,
    shortened,
)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What one column of :func:`dot_rows` shows.

    Attributes:
        name: Below the column.
        values: One a row.
        spreads: Half the length of the bar around each; none by default.
        percent: Whether values are fractions, shown in percent; otherwise they are on a
            logarithmic axis.
    """

    name: str
    values: Sequence[float]
    spreads: Sequence[float] | None = None
    percent: bool = False


def dot_rows(labels: Sequence[str], measures: Sequence[Measure]) -> Figure:
    """Draw a dot for each row and measure, the measures side by side.

    For comparisons of many things that lie on top of each other in a scatter plot.

    Args:
        labels: Names of the rows, the first on top.
        measures: One column each.

    Raises:
        ValueError: If there is nothing to draw, or a measure has another number of
            values than there are labels.
    """
    odd = [m.name for m in measures if len(m.values) != len(labels)]
    if odd or not labels or not measures:
        raise ValueError(
            f'{len(labels)} labels, {len(measures)} measures'
            f'{f", {odd[0]} of another length" if odd else ""}: expected one value a '
            'label, and at least one of each'
        )
    size = (1.6 + 2.4 * len(measures), 0.9 + 0.26 * len(labels))
    figure = Figure(figsize=size, layout='constrained')
    places = range(len(labels))
    for number, measure in enumerate(measures):
        axes = figure.add_subplot(1, len(measures), number + 1)
        colour = LINE_COLOURS[1 + number]
        axes.errorbar(
            measure.values, places, xerr=measure.spreads, fmt='o', color=colour,
            capsize=2.5, markersize=5,
        )  # fmt: skip
        clean_axes(axes)
        axes.grid(color=FAINT)
        names = [shortened(label) if number == 0 else '' for label in labels]
        axes.set_yticks(places, names)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_xlabel(measure.name, fontsize=9, color=INK)
        if measure.percent:
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        else:
            log_axis(axes, measure.values)
    return figure
