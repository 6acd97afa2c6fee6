"""A number that is none is an error, and never ok."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmdefect.deploy.decision import decide
from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput, Output
from mmdefect.deploy.spec import ModelSpec

NAN, INF = float('nan'), float('inf')


def boxes(score: float, corner: float = 1) -> BoxOutput:
    return BoxOutput(
        boxes=np.array([[corner, 1, 5, 5], [1, 1, 5, 5]], np.float32),
        scores=np.array([0.1, score], np.float32),
        labels=np.array([0, 1]),
    )


def labels(probability: float) -> LabelOutput:
    return LabelOutput(probabilities=np.array([probability, 0.9], np.float32))


def maps(score: float, pixel: float = 0) -> MapOutput:
    return MapOutput(anomaly_map=np.full((4, 6), pixel, np.float32), score=score)


SPECS: dict[type, dict[str, Any]] = {
    BoxOutput: {'task': 'boxes'},
    LabelOutput: {'task': 'labels', 'defective': 'a'},
    MapOutput: {'task': 'maps'},
}


@pytest.mark.parametrize(
    ('output', 'named'),
    [
        (boxes(NAN), 'scores'),
        (boxes(0.2, NAN), 'boxes'),
        (labels(NAN), 'probabilities'),
        (labels(INF), 'probabilities'),
        (maps(NAN), 'score'),
        (maps(0.1, NAN), 'anomaly_map'),
        (maps(-INF), 'score'),
    ],
)
@pytest.mark.parametrize('threshold', [0.5, None])
def test_exception_no_number(
    output: Output, named: str, threshold: float | None
) -> None:
    kind = SPECS[type(output)]
    spec = ModelSpec(classes=('a', 'b'), default_threshold=threshold, **kind)
    found = decide(output, spec, source='in/a.png', size=(6, 4))
    assert found.decision == 'undecided'
    assert found.error == (
        f'the model gives NaN or infinite numbers ({named}) for in/a.png: expected '
        'finite ones; check its weights, mean and std'
    )


@pytest.mark.parametrize('output', [boxes(0.2), labels(0.2), maps(0.2)])
def test_feature_numbers_are_decided_on(output: Output) -> None:
    kind = SPECS[type(output)]
    spec = ModelSpec(classes=('a', 'b'), default_threshold=0.5, **kind)
    found = decide(output, spec, source='in/a.png', size=(6, 4))
    assert (found.decision, found.error) == ('ok', None)


def test_feature_unknown_product() -> None:
    """A decision of its own, unless the caller knows better."""
    spec = ModelSpec(
        task='maps',
        classes=('a', 'b'),
        thresholds={'a': 0.5},
        default_threshold=0.1,
        routes=True,
        alarms={'a': {'text': '20 good images'}},
    )
    output = MapOutput(
        anomaly_map=np.zeros((4, 6), np.float32), score=0.2, unknown=True
    )
    found = decide(output, spec, source='a.png', size=(6, 4))
    assert (found.decision, found.threshold, found.product) == (
        'unknown product', None, None,
    )  # fmt: skip
    assert (found.score, found.evidence, found.calibrated) == (0.2, None, False)
    told = decide(output, spec, source='a.png', size=(6, 4), product='a')
    assert (told.decision, told.threshold, told.product) == ('ok', 0.5, 'a')
    # Its own threshold is one that images have chosen, whatever others have.
    assert (told.evidence, told.calibrated) == ('20 good images', True)
    assert told.to_dict()['note'] == '20 good images'
    assert found.to_dict()['note'] == 'not calibrated'
