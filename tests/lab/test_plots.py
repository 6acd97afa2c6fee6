"""Dots of many networks, one column a measure."""

from __future__ import annotations

import pytest

from lab.plots import Measure, dot_rows
from mmdefect.visualization.plots import save_figure


def test_feature_dot_rows(tmp_path) -> None:
    one = Measure(name='accuracy', values=[0.8, 0.9], spreads=[0.1, 0.0], percent=True)
    two = Measure(name='parameters', values=[100, 1000])
    figure = dot_rows(['$\\frac{$', 'large'], [one, two])
    left, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == [
        '$\\frac{$',
        'large',
    ]
    assert left.yaxis_inverted()  # the first on top
    assert (left.get_xscale(), right.get_xscale()) == ('linear', 'log')
    assert save_figure(figure, tmp_path / 'a.png').stat().st_size > 1000


@pytest.mark.parametrize(
    ('labels', 'values', 'said'),
    [(['a'], [1.0, 2.0], 'x of another length'), ([], [], '0 labels, 1 measures')],
)
def test_exception(labels, values, said) -> None:
    with pytest.raises(ValueError, match=said):
        dot_rows(labels, [Measure(name='x', values=values)])
