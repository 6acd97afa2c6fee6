"""Plots: what is drawn, and where nothing is."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from mmdefect.visualization.plots import (
    GROUP_COLOURS,
    curves,
    group_bars,
    heat_map,
    save_figure,
    scatter,
    shortened,
    trade_off,
)


def test_smoke(tmp_path) -> None:
    figure = heat_map([[0.5]], rows=['after step 0'], columns=['crazing'])
    path = save_figure(figure, tmp_path / 'deep' / 'heat.png')
    assert np.asarray(Image.open(path)).std() > 10


def test_feature_heat_map_leaves_nan_empty() -> None:
    values = [[0.61, math.nan], [0.02, 0.7]]
    axes = heat_map(values, rows=['0', '1'], columns=['a', 'b'], title='T').axes[0]
    assert [text.get_text() for text in axes.texts] == ['61.0', '2.0', '70.0']
    assert [label.get_text() for label in axes.get_xticklabels()] == ['a', 'b']
    assert axes.get_title(loc='left') == 'T'
    drawn = axes.images[0].get_array()
    assert drawn.mask.tolist() == [[False, True], [False, False]]


def test_feature_bars_have_heights_and_colours() -> None:
    groups = {
        'teacher': {'old': 0.7, 'new': None, 'all': math.nan},
        'joint': {'old': 0.6, 'new': 0.5, 'all': 0.55},
    }
    axes = group_bars(groups).axes[0]
    bars = [(round(p.get_height(), 3), to_hex(p.get_facecolor())) for p in axes.patches]
    drawn = [bar for bar in bars if bar[0] > 0]
    assert sorted(drawn) == sorted(
        [
            (0.7, GROUP_COLOURS['old']),
            (0.6, GROUP_COLOURS['old']),
            (0.5, GROUP_COLOURS['new']),
            (0.55, GROUP_COLOURS['all']),
        ]
    )
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ['old', 'new', 'all']


def test_feature_curves_are_named() -> None:
    axes = curves({'loss': ([1, 2], [3.0, 1.0]), 'loss_cls': ([1], [2.0])}).axes[0]
    assert [line.get_label() for line in axes.lines] == ['loss', 'loss_cls']
    assert axes.lines[0].get_ydata().tolist() == [3.0, 1.0]
    assert axes.lines[1].get_marker() == 'o'


def test_feature_more_lines_than_colours_stay_apart() -> None:
    lines = curves({f'layer {k}': ([1, 2], [k, k]) for k in range(12)}).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 12


@pytest.mark.parametrize(
    'draw',
    [
        lambda name: heat_map([[0.5]], rows=['0'], columns=[name], title=name),
        lambda name: group_bars({name: {'old': 0.5}}, title=name),
        lambda name: curves({name: ([1, 2], [1, 2])}),
        lambda name: scatter([1.0], [0.5], [(0.4, 0.6)], labels=[name]),
    ],
)
def test_feature_names_are_no_formulas(draw, tmp_path) -> None:
    """A name such as ``$\\frac{$`` is no formula that cannot be read."""
    path = save_figure(draw('costs $\\frac{$'), tmp_path / 'a.png')
    assert path.stat().st_size > 1000


def test_feature_long_names_are_cut_in_the_middle() -> None:
    name = 'scratch_on_the_upper_side_of_plate_17'
    assert shortened(name) == 'scratch_on_t…e_of_plate_17'
    assert shortened('scratches') == 'scratches'


@pytest.mark.parametrize(
    ('x', 'ticks'),
    [
        ([2.1, 3.3], ['2.4', '2.8', '3.2']),
        ([3.2, 38.0], ['5', '10', '20']),
        ([15_000, 115_088], ['20 k', '50 k', '100 k']),
        ([0.4, 3000.0], ['1', '10', '100', '1 k']),
        ([115_088, 27_520_892], ['100 k', '1 M', '10 M']),
    ],
)
def test_feature_few_plain_ticks_on_a_logarithmic_axis(x, ticks) -> None:
    figure = trade_off(x, {'val': [0.5, 0.6]}, chosen=0)
    axes = figure.axes[0]
    figure.canvas.draw()
    low, high = axes.get_xlim()
    labels = axes.xaxis.get_ticklabels(which='both')
    shown = [text for text in labels if low <= text.get_position()[0] <= high]
    assert [text.get_text() for text in shown] == ticks
    boxes = [text.get_window_extent() for text in shown]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_smoke_scatter(tmp_path) -> None:
    figure = scatter(
        [0.1, 57.0],
        [0.96, 0.99],
        [(0.94, 0.97), (0.98, 1.0)],
        labels=['luna', 'alexnet'],
    )
    assert figure.axes[0].get_xscale() == 'log'
    assert save_figure(figure, tmp_path / 'a.png').stat().st_size > 1000


def test_feature_trade_off_sorts_by_cost_and_marks_the_chosen() -> None:
    figure = trade_off([30, 1, 10], {'val': [0.9, 0.6, 0.8]}, chosen=2, xlabel='size')
    axes = figure.axes[0]
    curve, marker = axes.lines
    assert list(curve.get_xdata()) == [1, 10, 30]
    assert list(curve.get_ydata()) == [0.6, 0.8, 0.9]
    assert list(marker.get_xdata()) == [10, 10]
    assert axes.get_xscale() == 'log'


def two_columns(values):
    return heat_map(values, rows=['0'], columns=['a', 'b'])


def points(x):
    return scatter(x, [0.5], [(0.4, 0.6)], labels=['a'])


@pytest.mark.parametrize(
    ('draw', 'message'),
    [
        (lambda: group_bars({}), 'groups={}: expected one at least'),
        (lambda: curves({}), 'series={}: expected one at least'),
        (lambda: two_columns([[0.5]]), 'expected 1 x 2 as there are names'),
        (lambda: two_columns([[0.5, 0.5]] * 2), 'expected 1 x 2 as there are names'),
        (lambda: two_columns([]), 'expected 1 x 2 as there are names'),
        (lambda: points([]), '0 x, 1 y, 1 intervals, 1 labels: expected as many'),
        (lambda: points([1.0, 2.0]), '2 x, 1 y'),
        (lambda: points([0.0]), r'x=0\.0: expected positive values'),
        (lambda: trade_off([], {}, chosen=0), 'expected positive x'),
        (lambda: trade_off([1.0], {'a': [0.5, 0.6]}, chosen=0), 'expected positive x'),
        (lambda: trade_off([0.0], {'a': [0.5]}, chosen=0), 'expected positive x'),
        (lambda: trade_off([1.0], {'a': [0.5]}, chosen=1), 'expected positive x'),
    ],
)
def test_exception(draw, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw()
