"""How many channels stay, and which: FTL's rounding, ties, budgets, bad input."""

from __future__ import annotations

import math

import pytest
import torch

from mmdefect.functional.keep_counts import (
    bisect_budget,
    global_counts,
    keep_count,
    legacy_fractions,
    legacy_keep_count,
    top_channels,
)


def test_feature_legacy_fractions_are_sums() -> None:
    shares = legacy_fractions()
    assert len(shares) == 99
    assert shares[:2] == [0.01, 0.02]
    assert shares[-1] == 0.9900000000000007
    assert shares == pytest.approx([i / 100 for i in range(1, 100)])
    assert [shares[i - 1] == i / 100 for i in (10, 30, 70)] == [False] * 3


# ((C - 1) f) by hand: 0.5, 1.5, 2.5, 3.5 round to the even one.
@pytest.mark.parametrize(
    ('channels', 'fraction', 'kept'),
    [(2, 0.5, 0), (4, 0.5, 2), (6, 0.5, 2), (8, 0.5, 4), (9, 0.5, 4), (96, 1.0, 95)],
)
def test_feature_legacy_rounds_halves_to_even(channels, fraction, kept) -> None:
    assert legacy_keep_count(channels, fraction) == kept


def test_feature_legacy_may_keep_nothing_and_never_keeps_all() -> None:
    assert legacy_keep_count(51, 0.01) == 0  # 0.5 to even
    assert legacy_keep_count(52, 0.01) == 1
    largest = legacy_fractions()[-1]
    assert all(legacy_keep_count(c, largest) < c for c in range(1, 600))


def test_feature_sum_decides_at_a_half() -> None:
    """Of 256 channels at 0.10: 255 * 0.1 = 25.5, the sum is a last bit below 0.1."""
    assert legacy_keep_count(256, 0.1) == 26
    assert legacy_keep_count(256, legacy_fractions()[9]) == 25


@pytest.mark.parametrize(
    ('arguments', 'kept'),
    [
        ({'channels': 5, 'fraction': 0.5}, 3),  # 2.5, halves up
        ({'channels': 64, 'fraction': 1.0}, 64),
        ({'channels': 64, 'fraction': 0.0}, 1),
        ({'channels': 64, 'fraction': 0.0, 'min_channels': 8}, 8),
        ({'channels': 6, 'fraction': 0.0, 'min_channels': 8}, 6),
        ({'channels': 64, 'fraction': 0.3, 'round_to': 8}, 16),  # 19.2
        ({'channels': 64, 'fraction': 0.32, 'round_to': 8}, 24),  # 20.48
        ({'channels': 60, 'fraction': 0.99, 'round_to': 8}, 56),  # 59.4
        ({'channels': 62, 'fraction': 1.0, 'round_to': 8}, 62),
        ({'channels': 64, 'fraction': 0.01, 'round_to': 8}, 8),  # once at least
        (
            {'channels': 64, 'fraction': 0.0, 'min_channels': 9, 'round_to': 8},
            16,
        ),
    ],
)
def test_feature_keep_count(arguments, kept) -> None:
    assert keep_count(**arguments) == kept


def test_feature_of_equals_the_later_stay() -> None:
    scores = torch.tensor([0.5, 0.7, 0.5, 0.5, 0.2])
    assert [top_channels(scores, k) for k in range(6)] == [
        [],
        [1],
        [1, 3],
        [1, 2, 3],
        [0, 1, 2, 3],
        [0, 1, 2, 3, 4],
    ]
    assert top_channels(torch.zeros(6), 2) == [4, 5]


def test_feature_one_threshold_cuts_all_layers() -> None:
    """Layers are divided by their means, 2 and 20: the same but for their size."""
    small = torch.tensor([0.0, 1.0, 3.0, 4.0])
    layers = [small, 10 * small, torch.tensor([7.0, 7.0])]
    assert global_counts(layers, 0.0) == [4, 4, 2]
    assert global_counts(layers, 0.5) == [3, 3, 2]  # as high stays
    assert global_counts(layers, 1.0) == [2, 2, 2]
    assert global_counts(layers, 1.6) == [1, 1, 1]
    assert global_counts(layers, 9.0, min_channels=2) == [2, 2, 2]
    assert global_counts(layers, 0.5, round_to=2) == [4, 4, 2]  # 3, halves up


def test_feature_zeros_count_as_ones() -> None:
    zeros = torch.zeros(4)
    assert global_counts([zeros], 1.0) == [4]
    assert global_counts([zeros], 1.1) == [1]


def test_feature_bisect_budget() -> None:
    def cost(size: float) -> float:
        return size**2

    found = bisect_budget(cost, 2.0, low=0.0, high=3.0)
    assert found == pytest.approx(math.sqrt(2), abs=1e-9)
    assert cost(found) <= 2
    assert bisect_budget(cost, 9.0, low=0.0, high=3.0) == 3
    # Tried are 1.5, 0.75 and 1.125; the border is at 1.41.
    assert bisect_budget(cost, 2.0, low=0.0, high=3.0, steps=3) == 1.125


def test_feature_bisect_budget_of_steps() -> None:
    """Costs of whole channels: as many as the budget allows, never more."""
    found = bisect_budget(lambda x: math.floor(x * 10), 7, low=0.0, high=1.0)
    assert math.floor(found * 10) == 7


@pytest.mark.parametrize('fraction', [-0.1, 1.01, float('nan')])
@pytest.mark.parametrize('count', [keep_count, legacy_keep_count])
def test_exception_share(count, fraction) -> None:
    with pytest.raises(ValueError, match=r'fraction=.* at least 0 and at most 1'):
        count(8, fraction)


def test_exception_top_channels() -> None:
    with pytest.raises(ValueError, match=r'count=4 of the scores .* of shape \(3,\)'):
        top_channels(torch.rand(3), 4)
    with pytest.raises(ValueError, match='count=-1 of the scores'):
        top_channels(torch.rand(3), -1)
    with pytest.raises(ValueError, match=r'of shape \(2, 2\): expected'):
        top_channels(torch.rand(2, 2), 1)
    with pytest.raises(ValueError, match='nan'):
        top_channels(torch.tensor([0.1, float('nan')]), 1)


@pytest.mark.parametrize(('value', 'said'), [(-0.5, '-0.5'), (float('nan'), 'nan')])
def test_exception_negative_scores(value, said) -> None:
    with pytest.raises(ValueError, match=f'scores={said}: expected at least 0'):
        global_counts([torch.ones(2), torch.tensor([1.0, value])], 0.5)


@pytest.mark.parametrize('budget', [0.5, float('nan')])
def test_exception_budget(budget) -> None:
    with pytest.raises(ValueError, match='expected at least 1, what the smallest'):
        bisect_budget(lambda x: x, budget, low=1.0, high=2.0)
