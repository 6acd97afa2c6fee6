"""Which channels stay: scores and a share, or scores and a budget, to a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mmdefect.functional.keep_counts import (
    bisect_budget,
    global_counts,
    keep_count,
    legacy_keep_count,
    top_channels,
    union_channels,
)
from mmdefect.pruning.channels.groups import ChannelGroup, make_plan
from mmdefect.pruning.channels.plan import ChannelPlan
from mmdefect.utils.checks import check_choice, check_range

POLICIES = ('uniform_legacy', 'uniform', 'global')
# Of the global threshold, from the mean score up and down: far beyond any score.
_HALVINGS = 12.0
# The share or threshold is known to a part in a million: less than a channel.
_STEPS = 20
Scores = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class KeepPolicy:
    """How many channels of each group stay.

    Attributes:
        type: ``uniform_legacy``: ``round((C - 1) f)`` of every layer, as FTL's release.
            ``uniform``: the share ``f`` of every group. ``global``: scores are divided
            by the group's mean and one threshold cuts all; for scores that are never
            negative.
        min_channels: As many stay at least.
        round_to: Numbers are multiples of it.
    """

    type: str = 'uniform'
    min_channels: int = 1
    round_to: int = 1

    def __post_init__(self) -> None:
        check_choice('prune.keep.type', self.type, POLICIES)
        check_range('prune.keep.min_channels', self.min_channels, 1)
        check_range('prune.keep.round_to', self.round_to, 1)
        if self.type == 'uniform_legacy' and max(self.min_channels, self.round_to) > 1:
            raise ValueError(
                f'prune.keep.min_channels={self.min_channels} and '
                f"round_to={self.round_to}: expected 1 of both with 'uniform_legacy', "
                "the release's own numbers; or set type='uniform'"
            )

    def count(self, group: ChannelGroup, fraction: float) -> int:
        """Count the channels that stay of a group, given the same share of all groups.

        Raises:
            ValueError: None would stay, or the policy gives every group a share of its
                own.
        """
        if self.type == 'global':
            raise ValueError(
                "prune.keep.type='global': expected a budget, not a share of channels; "
                'set prune.grid.kind to parameters, macs or latency_ms'
            )
        if self.type == 'uniform':
            return keep_count(
                group.channels,
                fraction,
                min_channels=self.min_channels,
                round_to=self.round_to,
            )
        count = legacy_keep_count(group.channels, fraction)
        if count < 1:
            raise ValueError(
                f'{group.name}: expected at least one of {group.channels} channels to '
                f'stay, at the share {fraction:g} none does; raise the share, or use '
                "prune.keep.type='uniform', which keeps prune.keep.min_channels"
            )
        return count


def plan_of_fraction(
    groups: Sequence[ChannelGroup],
    scores: Sequence[Scores],
    policy: KeepPolicy,
    fraction: float,
    origin: Mapping[str, Any] | None = None,
) -> ChannelPlan:
    """Keep the same share of every group.

    Args:
        groups: What belongs together.
        scores: One set, or two whose best are united.
        policy: See :class:`KeepPolicy`.
        fraction: Share that stays.
        origin: For the reader of the plan.

    Raises:
        ValueError: A group would keep nothing.
    """
    kept = {
        group.name: best(group, scores, policy.count(group, fraction))
        for group in groups
    }
    return make_plan(groups, kept, origin)


def plan_of_budget(
    groups: Sequence[ChannelGroup],
    scores: Sequence[Scores],
    policy: KeepPolicy,
    cost: Callable[[ChannelPlan], float],
    budget: float,
    origin: Mapping[str, Any] | None = None,
) -> ChannelPlan:
    """Keep as much as a budget allows.

    Args:
        groups: As for :func:`plan_of_fraction`.
        scores: As for :func:`plan_of_fraction`.
        policy: See :class:`KeepPolicy`; ``global`` and one of the uniform ones differ.
        cost: What a plan's network costs, in the unit of the budget.
        budget: What it may cost.
        origin: For the reader of the plan.

    Raises:
        ValueError: Not even the smallest network meets the budget.
    """
    if policy.type == 'global':
        # The size of a network, evenly: halvings of the threshold.
        low, high = -_HALVINGS, _HALVINGS

        def plan(size: float) -> ChannelPlan:
            # At the upper end everything stays, filters with a score of 0, too.
            threshold = 2**-size if size < high else 0.0
            return _above(groups, scores, policy, threshold, origin)
    else:
        low, high = _shares(groups, policy)

        def plan(size: float) -> ChannelPlan:
            return plan_of_fraction(groups, scores, policy, size, origin)

    size = bisect_budget(
        lambda size: cost(plan(size)), budget, low=low, high=high, steps=_STEPS
    )
    return plan(size)


def best(group: ChannelGroup, scores: Sequence[Scores], count: int) -> list[int]:
    """Choose the channels of a group that stay, ascending."""
    chosen = [top_channels(group.gathered(one), count) for one in scores]
    return chosen[0] if len(chosen) == 1 else union_channels(*chosen)


def _above(
    groups: Sequence[ChannelGroup],
    scores: Sequence[Scores],
    policy: KeepPolicy,
    threshold: float,
    origin: Mapping[str, Any] | None,
) -> ChannelPlan:
    counts = global_counts(
        [group.gathered(scores[0]) for group in groups],
        threshold,
        min_channels=policy.min_channels,
        round_to=policy.round_to,
    )
    kept = {
        group.name: best(group, scores, min(count, group.channels))
        for group, count in zip(groups, counts, strict=True)
    }
    return make_plan(groups, kept, origin)


def _shares(groups: Sequence[ChannelGroup], policy: KeepPolicy) -> tuple[float, float]:
    """Return the smallest share at which every group keeps something, and all."""
    if policy.type == 'uniform':
        return 1e-6, 1.0
    narrowest = min(group.channels for group in groups)
    # round(x) is 1 from just above a half on (half to even).
    return min(1.0, 0.5001 / max(1, narrowest - 1)), 1.0
