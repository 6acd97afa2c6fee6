"""Bins of equal ratio."""

from __future__ import annotations

import pytest

from mmdefect.line.histogram import LAST, SMALLEST, bin_of, lower_edge


@pytest.mark.parametrize(
    ('value', 'number'),
    [
        (0.0, 0),
        (SMALLEST / 2, 0),
        (SMALLEST, 1),
        (1.0, 321),
        (2.0, 337),
        (255.0, 448),
        (-1.0, -321),
        (1e300, LAST),
        (-1e300, -LAST),
    ],
)
def test_feature_golden_bins(value: float, number: int) -> None:
    """They stand in files: no later version may move them."""
    assert bin_of(value) == number


def test_feature_a_bin_holds_what_lies_between_its_edges() -> None:
    for step in range(-1900, 1900):
        value = (1.007 ** abs(step)) * (1 if step > 0 else -1)
        number = bin_of(value)
        low, high = lower_edge(number), lower_edge(number + 1)
        assert low * (1 - 1e-12 * (low > 0)) <= value <= high * (1 + 1e-12 * (high > 0))
        assert high / low == pytest.approx(2 ** (1 / 16 if low > 0 else -1 / 16))
