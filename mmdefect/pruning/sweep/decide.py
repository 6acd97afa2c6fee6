"""Choose one network of a sweep, by what it says of the validation images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mmdefect.functional import decision
from mmdefect.pruning.sweep.outcome import Outcome
from mmdefect.pruning.sweep.settings import DecideSettings


def choose(outcomes: Sequence[Outcome], settings: DecideSettings) -> int:
    """Choose the network to take by index; the first one is the whole network.

    Of networks that tie, the one with the lower loss on the validation images is taken.

    Raises:
        ValueError: The rule's numbers are undefined, such as ratios to an F1 of 0.
    """
    # Results of earlier releases have none.
    losses = [math.inf if o.val.nll is None else o.val.nll for o in outcomes]
    if settings.rule == 'one_standard_error':
        return decision.one_standard_error(
            [outcome.number(settings.cost) for outcome in outcomes],
            [outcome.val.accuracy for outcome in outcomes],
            outcomes[0].val.images,
            losses,
        )
    scores = decision_scores(outcomes, settings)
    return max(range(len(scores)), key=lambda index: (scores[index], -losses[index]))


def decision_scores(
    outcomes: Sequence[Outcome], settings: DecideSettings
) -> list[float]:
    """Score networks, higher is better; no scores of ``'one_standard_error'``."""
    if settings.rule == 'one_standard_error':
        return []
    if settings.rule == 'weighted':
        names = list(settings.weights)
        numbers = [{name: o.number(name) for name in names} for o in outcomes]
        return [decision.weighted(n, numbers[0], settings.weights) for n in numbers]
    percent = settings.rule == 'ftl_published'
    function = decision.ftl_published if percent else decision.ftl_fraction
    return [_ftl(function, one, outcomes[0], 100 if percent else 1) for one in outcomes]


def _ftl(
    function: Callable[..., float], one: Outcome, whole: Outcome, scale: int
) -> float:
    return function(
        scale * one.val.accuracy,
        one.val.f1,
        one.backbone_parameters,
        reference_accuracy=scale * whole.val.accuracy,
        reference_f1=whole.val.f1,
        reference_parameters=whole.backbone_parameters,
    )
