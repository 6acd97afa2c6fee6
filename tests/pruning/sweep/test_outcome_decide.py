"""Rows of a sweep, and which of them is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.evaluation.predictions import Prediction
from mmdefect.functional.decision import ftl_fraction
from mmdefect.pruning.channels.cost import Cost
from mmdefect.pruning.sweep.candidates import Candidate
from mmdefect.pruning.sweep.decide import choose, decision_scores
from mmdefect.pruning.sweep.outcome import (
    Outcome,
    Quality,
    quality,
    read_outcome,
    write_outcome,
)
from mmdefect.pruning.sweep.settings import DecideSettings


def outcome(
    name: str,
    parameters: int,
    accuracy: float,
    latency: float = 1.0,
    nll: float | None = None,
) -> Outcome:
    good = Quality(
        images=100,
        accuracy=accuracy,
        balanced_accuracy=accuracy,
        f1=accuracy,
        misses=1,
        false_alarms=2,
        nll=nll,
    )
    cost = Cost(
        parameters=parameters,
        macs=10 * parameters,
        latency_ms_p50=latency,
        latency_ms_p95=2 * latency,
        threads=1,
        runs=50,
    )
    return Outcome(
        name=name,
        size=None if name == 'dense' else parameters / 1000,
        backbone_parameters=parameters - 10,
        cost=cost,
        val=good,
        test={'test': good},
        probe={'c': 1.0},
    )


SWEEP = [
    outcome('dense', 1000, 0.95, 9.0),
    outcome('small', 100, 0.94, 3.0),
    outcome('smallest', 10, 0.80, 4.0),
]


def test_feature_quality() -> None:
    said = {
        'a': Prediction(0, 0, 0.9),
        'b': Prediction(0, 1, 0.4),
        'c': Prediction(1, 1, 0.2),
        'd': Prediction(1, 1, 0.1),
        'e': Prediction(1, 0, 0.6),
        'f': Prediction(1, 1, 0.3),
    }
    found = quality(said)
    assert (found.misses, found.false_alarms, found.images) == (1, 1, 6)
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 3 / 4) / 2)
    assert found.f1 == pytest.approx(2 / (2 + 1 + 1))

    with pytest.raises(ValueError, match='object=0 and others=1: expected one or more'):
        quality({'a': Prediction(1, 1, 0.1)})


def test_feature_outcome_survives_the_disk(tmp_path: Path) -> None:
    candidate = Candidate(name='small', size=0.1, folder=tmp_path)
    write_outcome(SWEEP[1], candidate)
    assert read_outcome(candidate) == SWEEP[1]


def test_feature_one_standard_error() -> None:
    # sqrt(0.95 * 0.05 / 100) = 0.022: 0.94 is as good, 0.80 is not.
    assert choose(SWEEP, DecideSettings()) == 1
    assert decision_scores(SWEEP, DecideSettings()) == []
    fast = [SWEEP[0], SWEEP[1], outcome('fast', 500, 0.94, 1.0)]
    assert choose(fast, DecideSettings(cost='latency_ms')) == 2
    assert choose(fast, DecideSettings(cost='parameters')) == 1


def test_feature_weighted_by_latency() -> None:
    settings = DecideSettings(rule='weighted', weights={'latency_ms': 1.0})
    assert decision_scores(SWEEP, settings) == pytest.approx([0, 1 - 3 / 9, 1 - 4 / 9])
    assert choose(SWEEP, settings) == 1


def test_feature_ftl_rules_count_the_backbone() -> None:
    scores = decision_scores(SWEEP, DecideSettings(rule='ftl_fraction'))
    assert scores[0] == pytest.approx(2)
    assert scores[1] == ftl_fraction(
        0.94,
        0.94,
        90,
        reference_accuracy=0.95,
        reference_f1=0.95,
        reference_parameters=990,
    )
    # In percent the first term hardly moves, so the smallest network gains most by it.
    percent = decision_scores(SWEEP, DecideSettings(rule='ftl_published'))
    assert percent[0] == pytest.approx(2)
    assert percent[2] - percent[1] > scores[2] - scores[1]


@pytest.mark.parametrize(
    'settings',
    [
        DecideSettings(),
        DecideSettings(rule='ftl_fraction'),
        DecideSettings(rule='weighted', weights={'accuracy': 1.0}),
    ],
)
def test_feature_ties_go_to_the_lower_loss(settings: DecideSettings) -> None:
    dense = outcome('dense', 1000, 0.95, nll=0.9)
    tied = [outcome(name, 100, 0.95, nll=nll) for name, nll in (('a', 0.6), ('b', 0.1))]
    assert choose([dense, *tied], settings) == 2
    assert choose([dense, *tied[::-1]], settings) == 1
    unknown = [outcome(name, 100, 0.95) for name in 'ab']
    assert choose([dense, *unknown], DecideSettings()) == 1
