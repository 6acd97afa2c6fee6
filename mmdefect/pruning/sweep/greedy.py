"""FTL's greedy order: layers are scored behind those that are pruned already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from mmdefect.pruning.channels.groups import ChannelGroup, make_plan
from mmdefect.pruning.channels.plan import ChannelPlan
from mmdefect.pruning.channels.rebuild import rebuild, reset_norms
from mmdefect.pruning.scoring.score import Scores
from mmdefect.pruning.sweep.keep import KeepPolicy, best

# Scores of one layer of a network, one set or two (see selected_scores).
ScoreLayer = Callable[[nn.Module, str], Sequence[Scores]]


class GreedyPlanner:
    """Plans of a sequential network for any number of shares, front to back.

    The first layer sees the images whatever is kept of it, so it is scored once for all
    shares.

    Args:
        model: A classifier.
        groups: Its groups, each of one filter layer, in the order in which they run.
        policy: How many channels stay.
        score: Scores one layer.
        reset_norms: Whether batch norms forget what they have learned, as in the
            release.

    Raises:
        ValueError: Layers are coupled, so there is no front and back.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        groups: Sequence[ChannelGroup],
        policy: KeepPolicy,
        score: ScoreLayer,
        reset_norms: bool = True,
    ) -> None:
        coupled = [group for group in groups if len(group.filters) > 1]
        if coupled:
            raise ValueError(
                'prune.greedy=True: expected a network without residual connections '
                f'such as VGG or AlexNet, {coupled[0].name} is coupled with '
                f'{coupled[0].filters[1]}; set prune.greedy=False'
            )
        self.model = model
        self.groups = list(groups)
        self.policy = policy
        self.score = score
        self.reset_norms = reset_norms
        self._first: Sequence[Scores] | None = None

    def plan(
        self, fraction: float, origin: dict[str, Any] | None = None
    ) -> ChannelPlan:
        """Plan one share.

        Raises:
            ValueError: A layer would lose all of its channels.
        """
        kept: dict[str, list[int]] = {}
        for group in self.groups:
            count = self.policy.count(group, fraction)
            scores = self._scores(make_plan(self.groups, kept), group.name)
            kept[group.name] = best(group, scores, count)
        return make_plan(self.groups, kept, origin)

    def _scores(self, so_far: ChannelPlan, layer: str) -> Sequence[Scores]:
        first = layer == self.groups[0].name
        if first and self._first is not None:
            return self._first
        smaller = rebuild(self.model, so_far)
        if self.reset_norms:
            reset_norms(smaller)
        scores = self.score(smaller, layer)
        if first:
            self._first = scores
        return scores
