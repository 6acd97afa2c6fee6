"""How many channels stay, and which."""

from __future__ import annotations

import pytest
import torch

from mmdefect.pruning.channels.groups import ChannelGroup, Member
from mmdefect.pruning.sweep.keep import (
    KeepPolicy,
    best,
    plan_of_budget,
    plan_of_fraction,
)


def group(name, channels):
    member = Member(
        layer=name, side='out', index=tuple(range(channels)), total=channels
    )
    return ChannelGroup(
        name=name, channels=channels, members=(member,), filters=(name,)
    )


GROUPS = [group('a', 8), group('b', 20)]
SCORES = {'a': torch.arange(8.0), 'b': torch.arange(20.0).flip(0)}


def width(plan):
    """Channels of both groups, as a cost."""
    found = plan.widths()
    return found.get('a', 8) + found.get('b', 20)


class TestFraction:
    def test_feature_best_of_every_group(self):
        plan = plan_of_fraction(GROUPS, [SCORES], KeepPolicy(), 0.25, {'share': 0.25})
        assert plan.layers['a'].out == (6, 7)
        assert plan.layers['b'].out == (0, 1, 2, 3, 4)
        assert plan.origin == {'share': 0.25}

    def test_feature_all(self):
        assert plan_of_fraction(GROUPS, [SCORES], KeepPolicy(), 1.0).layers == {}

    def test_feature_legacy_is_never_all(self):
        """``round((C - 1) f)``."""
        policy = KeepPolicy(type='uniform_legacy')
        plan = plan_of_fraction(GROUPS, [SCORES], policy, 1.0)
        assert plan.widths() == {'a': 7, 'b': 19}
        # 3.5 and 9.5 to the even number.
        plan = plan_of_fraction(GROUPS, [SCORES], policy, 0.5)
        assert plan.widths() == {'a': 4, 'b': 10}

    def test_feature_union_of_two_scores(self):
        """Between K and 2 K, as the published VGG16."""
        other = {'a': SCORES['a'].flip(0), 'b': SCORES['b']}
        plan = plan_of_fraction(GROUPS, [SCORES, other], KeepPolicy(), 0.25)
        assert plan.layers['a'].out == (0, 1, 6, 7)
        assert plan.widths()['b'] == 5

    @pytest.mark.parametrize(
        ('settings', 'expected'),
        [
            ({}, {'a': 1, 'b': 2}),
            ({'min_channels': 3}, {'a': 3, 'b': 3}),
            ({'min_channels': 10}, {'b': 10}),
            ({'round_to': 4}, {'a': 4, 'b': 4}),
        ],
    )
    def test_feature_bounds(self, settings, expected):
        plan = plan_of_fraction(GROUPS, [SCORES], KeepPolicy(**settings), 0.1)
        assert plan.widths() == expected

    def test_feature_ties(self):
        """The later of equals stays."""
        assert best(GROUPS[0], [{'a': torch.zeros(8)}], 3) == [5, 6, 7]

    @pytest.mark.parametrize(
        ('kind', 'fraction', 'message'),
        [
            ('uniform_legacy', 0.05, r'^a: expected at least one of 8 .* share 0\.05'),
            ('global', 0.5, r"type='global': expected a budget, not a share"),
            ('uniform', -0.1, r'fraction=-0\.1: expected'),
            ('uniform', 1.1, r'fraction=1\.1: expected'),
        ],
    )
    def test_exception(self, kind, fraction, message):
        with pytest.raises(ValueError, match=message):
            plan_of_fraction(GROUPS, [SCORES], KeepPolicy(type=kind), fraction)


class TestBudget:
    @pytest.mark.parametrize('kind', ['uniform', 'uniform_legacy', 'global'])
    @pytest.mark.parametrize('budget', [4, 14, 27])
    def test_feature_as_much_as_is_allowed(self, kind, budget):
        policy = KeepPolicy(type=kind)
        plan = plan_of_budget(GROUPS, [SCORES], policy, width, budget)
        # Groups grow by one each at a time at most.
        assert budget - 2 < width(plan) <= budget

    @pytest.mark.parametrize(
        ('kind', 'most'), [('uniform', 28), ('uniform_legacy', 26), ('global', 28)]
    )
    def test_feature_more_than_there_is(self, kind, most):
        policy = KeepPolicy(type=kind)
        assert width(plan_of_budget(GROUPS, [SCORES], policy, width, 99)) == most

    def test_feature_global_threshold(self):
        """Of scores over the group's mean: a group that is all alike stays or goes."""
        scores = {'a': torch.ones(8) * 1e-3, 'b': torch.tensor([10.0] * 4 + [0.1] * 16)}
        policy = KeepPolicy(type='global')
        plan = plan_of_budget(GROUPS, [scores], policy, width, 12)
        assert plan.widths() == {'b': 4}

    @pytest.mark.parametrize('kind', ['uniform', 'uniform_legacy', 'global'])
    def test_exception_too_small(self, kind):
        with pytest.raises(ValueError, match=r'smallest network costs'):
            plan_of_budget(GROUPS, [SCORES], KeepPolicy(type=kind), width, 1)

    def test_exception_negative_scores(self):
        """A contrast can be negative, and has no mean to divide by."""
        scores = {name: value - 3 for name, value in SCORES.items()}
        with pytest.raises(ValueError, match='-3: expected'):
            plan_of_budget(GROUPS, [scores], KeepPolicy(type='global'), width, 9)


class TestPolicy:
    def test_exception(self):
        with pytest.raises(ValueError, match=r"prune.keep.type='best': expected one"):
            KeepPolicy(type='best')
        for name in ('min_channels', 'round_to'):
            with pytest.raises(ValueError, match=rf'{name}=0: expected at least 1'):
                KeepPolicy(**{name: 0})
