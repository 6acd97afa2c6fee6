"""Plots of a stream: heat map, grouped bars, curves.

Figures are made without pyplot, so nothing global changes and no display is needed.
Values are fractions and shown in percent; colours are safe for colour-blind readers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

# Longer names would push the plot off the page.
_LONGEST = 26
INK, FAINT = '#22303c', '#d9dfe5'
# Old, new and all keep one colour each through all plots and pages.
GROUP_COLOURS = {'old': '#3b6fb6', 'new': '#e08a2c', 'all': '#7d8894'}
# Paul Tol's 'bright' and 'muted' schemes, the readable ones of both.
LINE_COLOURS = (
    '#22303c', '#4477aa', '#ee7733', '#228833', '#aa3377', '#66aacc', '#bb9911',
    '#882255',
)  # fmt: skip
# One hue from light to dark: its order survives grey printing. It starts above white,
# which is the colour of cells without a value.
HEAT = LinearSegmentedColormap.from_list(
    'heat', ['#e4eef7', '#9cc3e0', '#4a8fc2', '#1c5a96', '#0b2e5c']
)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG and return its path; folders are made.

    A ``$`` in a name is a dollar, not the begin of a formula.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=144, bbox_inches='tight', facecolor='white')
    return path


def shortened(name: str) -> str:
    """Return a name that fits into a plot: the middle of a long one is left out."""
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f'{name[: half - 1]}…{name[-half:]}'


def log_axis(axes: Axes, x: Sequence[float]) -> None:
    """Make the x axis logarithmic, with few ticks that are written out."""
    axes.set_xscale('log')
    far = max(x) / min(x)
    # Within a decade powers have hardly a tick, over many decades too many.
    steps = (1.0, 2.0, 5.0) if far < 100 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps) if far > 4 else MaxNLocator(4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: _plain_number(value))


def _plain_number(value: float) -> str:
    """Return 150000 as ``150 k`` and 2500000 as ``2.5 M``."""
    for unit, size in (('M', 1e6), ('k', 1e3)):
        if value >= size:
            return f'{value / size:.4g} {unit}'
    return f'{value:.4g}'


def _line(number: int, name: str) -> dict[str, Any]:
    """Look of a line; those beyond the colours are dashed."""
    turn, colour = divmod(number, len(LINE_COLOURS))
    style = {'color': LINE_COLOURS[colour], 'linestyle': ('-', '--', ':')[turn % 3]}
    return style | {'label': shortened(name), 'linewidth': 1.3}


def _finish(axes: Axes, xlabel: str, ylabel: str) -> None:
    """Name the axes and, beside them, what is drawn."""
    axes.grid(axis='y', color=FAINT, linewidth=0.8)
    axes.set_xlabel(xlabel, color=INK, fontsize=9)
    axes.set_ylabel(ylabel, color=INK, fontsize=9)
    axes.legend(frameon=False, fontsize=8, loc='upper left', bbox_to_anchor=(1.0, 1.0))


def clean_axes(axes: Axes, title: str = '', *, pad: int = 10) -> None:
    """Take away frame and ticks, and write the title above."""
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    for side in ('left', 'bottom'):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title, loc='left', fontsize=11, color=INK, pad=pad)


def heat_map(
    values: Sequence[Sequence[float]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = '',
) -> Figure:
    """Draw a matrix with a number in each cell; NaN cells stay empty.

    Args:
        values: Fractions, rows x columns.
        rows: Name of each row, for example the steps.
        columns: Name of each column, for example the classes.
        title: Title above.

    Raises:
        ValueError: If the names do not fit the values.
    """
    if [len(row) for row in values] != [len(columns)] * len(rows) or not columns:
        raise ValueError(
            f'values of {len(values)} rows with {sorted({len(row) for row in values})} '
            f'entries: expected {len(rows)} x {len(columns)} as there are names'
        )
    size = (1.2 + 0.95 * len(columns), 1.0 + 0.55 * len(rows))
    figure = Figure(figsize=size)
    axes = figure.add_subplot()
    axes.imshow(values, cmap=HEAT, vmin=0, vmax=1, aspect='auto')
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if math.isnan(value):
                continue
            colour = 'white' if value > 0.55 else INK
            axes.text(
                j, i, f'{100 * value:.1f}', ha='center', va='center', color=colour
            )
    clean_axes(axes, title)
    axes.spines[:].set_visible(False)
    names = [shortened(name) for name in columns]
    axes.set_xticks(range(len(names)), names, rotation=25, ha='right')
    axes.set_yticks(range(len(rows)), [shortened(name) for name in rows])
    # White gaps between the cells.
    axes.set_xticks([j - 0.5 for j in range(1, len(columns))], minor=True)
    axes.set_yticks([i - 0.5 for i in range(1, len(rows))], minor=True)
    axes.grid(which='minor', color='white', linewidth=2)
    axes.tick_params(which='minor', length=0)
    return figure


def group_bars(
    groups: Mapping[str, Mapping[str, float | None]],
    *,
    title: str = '',
    ylabel: str = '',
) -> Figure:
    """Draw bars of old, new and all classes for each step or model.

    Args:
        groups: Label below the bars -> group -> fraction; ``None`` or NaN has no bar.
        title: Title above.
        ylabel: Name of the metric.

    Raises:
        ValueError: If there is nothing to draw.
    """
    if not groups:
        raise ValueError('groups={}: expected one at least')
    figure = Figure(figsize=(1.6 + 1.5 * len(groups), 3.2))
    axes = figure.add_subplot()
    width = 0.26
    for shift, (name, colour) in enumerate(GROUP_COLOURS.items(), start=-1):
        for x, values in enumerate(groups.values()):
            value = values.get(name)
            if value is None or math.isnan(value):
                continue
            bar = axes.bar(x + shift * width, value, width * 0.92, color=colour)
            axes.bar_label(bar, [f'{100 * value:.0f}'], fontsize=8, color=INK)
        axes.bar(0, 0, color=colour, label=name)  # a legend entry even without bars
    clean_axes(axes, title, pad=28)
    names = [shortened(name) for name in groups]
    long = max(map(len, names)) > 18
    axes.set_xticks(
        range(len(names)), names, rotation=15 * long, ha='right' if long else 'center'
    )
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set_ylim(0, 1.08)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _finish(axes, '', ylabel)
    # Between title and bars: beside them it would be the first to leave a small screen.
    axes.legend(
        frameon=False, fontsize=9, loc='lower left', bbox_to_anchor=(0, 1), ncols=3
    )
    return figure


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str = '',
    xlabel: str = 'iteration',
    ylabel: str = '',
) -> Figure:
    """Draw named curves.

    Args:
        series: Name -> (x values, y values) of equal length.
        title: Title above.
        xlabel: Name of the x axis.
        ylabel: Name of the y axis.

    Raises:
        ValueError: If there is nothing to draw.
    """
    if not series:
        raise ValueError('series={}: expected one at least')
    figure = Figure(figsize=(5.6, 3.2))
    axes = figure.add_subplot()
    for number, (name, (x, y)) in enumerate(series.items()):
        # A single point draws no line.
        axes.plot(x, y, marker='o' if len(x) == 1 else '', **_line(number, name))
    clean_axes(axes, title)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _finish(axes, xlabel, ylabel)
    return figure


def scatter(
    x: Sequence[float],
    y: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    *,
    labels: Sequence[str],
    xlabel: str = '',
    ylabel: str = '',
    title: str = '',
) -> Figure:
    """Draw named points with vertical intervals on a logarithmic x axis.

    Args:
        x: Positive values, such as parameters or milliseconds.
        y: Fractions.
        intervals: Lower and upper end of each y.
        labels: Name of each point.
        xlabel: Name of the x axis.
        ylabel: Name of the y axis.
        title: Title above.

    Raises:
        ValueError: If there is nothing to draw, lengths differ, or an x is not
            positive.
    """
    if not labels or not len(x) == len(y) == len(intervals) == len(labels):
        raise ValueError(
            f'{len(x)} x, {len(y)} y, {len(intervals)} intervals, {len(labels)} '
            'labels: expected as many of each, one at least'
        )
    if min(x) <= 0:
        raise ValueError(f'x={min(x)}: expected positive values')
    figure = Figure(figsize=(5.6, 3.6))
    axes = figure.add_subplot()
    for number, (place, value, (low, high), label) in enumerate(
        zip(x, y, intervals, labels, strict=True)
    ):
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        error, name = [[value - low], [high - value]], shortened(label)
        axes.errorbar(place, value, error, fmt='o', color=colour, capsize=3, label=name)
    clean_axes(axes, title)
    log_axis(axes, x)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    _finish(axes, xlabel, ylabel)
    return figure


def trade_off(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    chosen: int,
    xlabel: str = '',
    ylabel: str = '',
    title: str = '',
) -> Figure:
    """Draw what many sizes of one network reach, on a logarithmic x axis.

    Args:
        x: Positive cost of each size.
        series: Name -> fraction of each size, such as one a dataset.
        chosen: Index of the size that is marked by a vertical line.
        xlabel: Name of the x axis.
        ylabel: Name of the y axis.
        title: Title above.

    Raises:
        ValueError: If there is nothing to draw, lengths differ, an x is not positive,
            or there is no such size.
    """
    lengths = {len(values) for values in series.values()}
    if lengths != {len(x)} or not 0 <= chosen < len(x) or min(x) <= 0:
        raise ValueError(
            f'{len(x)} x, series of {sorted(lengths)} values, chosen={chosen}: '
            'expected positive x, as many of each, and one of them'
        )
    figure = Figure(figsize=(5.6, 3.4))
    axes = figure.add_subplot()
    order = sorted(range(len(x)), key=lambda index: x[index])
    for number, (name, values) in enumerate(series.items()):
        y = [values[index] for index in order]
        axes.plot(sorted(x), y, marker='o', markersize=3, **_line(number, name))
    axes.axvline(x[chosen], color=INK, linewidth=0.8, linestyle=':', label='chosen')
    clean_axes(axes, title)
    log_axis(axes, x)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _finish(axes, xlabel, ylabel)
    return figure
