"""What a network costs and how good it is: one row of a sweep's table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mmdefect.evaluation.predictions import Predictions, measure
from mmdefect.pruning.channels.cost import Cost
from mmdefect.pruning.sweep.candidates import RESULT, Candidate
from mmdefect.utils.files import write_json


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How good a classifier is on a set of images.

    Attributes:
        images: How many there are.
        accuracy: Share of right answers.
        balanced_accuracy: Mean of the two classes' shares of right answers.
        f1: Of the object's class.
        misses: Images with the object that were called something else.
        false_alarms: The other way round.
        nll: Mean negative log-likelihood; ``None`` in results of earlier releases.
    """

    images: int
    accuracy: float
    balanced_accuracy: float
    f1: float
    misses: int
    false_alarms: int
    nll: float | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One network.

    Attributes:
        name: Of the candidate.
        size: Share of channels or of the budget; ``None`` of the whole network.
        backbone_parameters: Without the head's, which FTL's decision function counts.
        cost: Parameters, MACs, latency.
        val: Quality on the validation images, by which one network is chosen.
        test: Quality on each test set, by its name.
        probe: What the fit of the head said.
        tested_on: Digest of the datasets' configs; others are tested anew.
    """

    name: str
    size: float | None
    backbone_parameters: int
    cost: Cost
    val: Quality
    test: Mapping[str, Quality]
    probe: Mapping[str, Any]
    tested_on: str = ''

    def number(self, name: str) -> float:
        """Return a cost, or a quality on the validation images, by its name."""
        if name == 'latency_ms':
            return self.cost.latency_ms_p50
        found = {**asdict(self.cost), **asdict(self.val)}
        return float(found[name])


def quality(said: Predictions) -> Quality:
    """Sum up predictions.

    Raises:
        ValueError: There are no images of one of the two classes.
    """
    found = measure(said)
    errors = found.errors
    if not errors.defects or not errors.others:
        raise ValueError(
            f'images of the object={errors.defects} and others={errors.others}: '
            'expected one or more of both to test on'
        )
    hits = errors.defects - errors.misses
    return Quality(
        images=found.images,
        accuracy=1 - found.wrong / found.images,
        balanced_accuracy=1 - (errors.miss_rate + errors.false_alarm_rate) / 2,
        f1=2 * hits / (2 * hits + errors.misses + errors.false_alarms),
        misses=errors.misses,
        false_alarms=errors.false_alarms,
        nll=found.nll,
    )


def write_outcome(outcome: Outcome, candidate: Candidate) -> None:
    """Write ``result.json`` beside the network."""
    write_json(candidate.path(RESULT), asdict(outcome), lasting=True)


def read_outcome(candidate: Candidate) -> Outcome:
    """Read ``result.json``."""
    found = json.loads(candidate.path(RESULT).read_text(encoding='utf-8'))
    return Outcome(
        **{
            **found,
            'cost': Cost(**found['cost']),
            'val': Quality(**found['val']),
            'test': {name: Quality(**one) for name, one in found['test'].items()},
        }
    )
