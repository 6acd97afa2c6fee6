"""Thresholds of a model, calibrated ones and those that somebody has moved."""

from __future__ import annotations

from typing import Any

import pytest

from mmdefect.deploy.spec import ModelSpec

CALIBRATED = ModelSpec(
    task='boxes',
    classes=('scratch', 'dent'),
    thresholds={'scratch': 0.4, 'dent': 0.6},
    calibrated=True,
)


def test_feature_one_for_all() -> None:
    moved = CALIBRATED.with_threshold(0.9)
    assert [moved.threshold_of(name) for name in ('scratch', 'dent', None)] == [0.9] * 3
    assert CALIBRATED.calibrated
    assert not moved.calibrated


def test_feature_of_one_class() -> None:
    moved = CALIBRATED.with_threshold({'dent': 0.2})
    assert moved.thresholds == {'scratch': 0.4, 'dent': 0.2}
    assert not moved.calibrated


def test_exception() -> None:
    with pytest.raises(ValueError, match="unknown class 'dust'"):
        CALIBRATED.with_threshold({'dust': 0.2})
    with pytest.raises(ValueError, match="threshold\\['dent'\\]=nan: expected"):
        CALIBRATED.with_threshold({'dent': float('nan')})
    with pytest.raises(ValueError, match='threshold=nan: expected a finite number'):
        CALIBRATED.with_threshold(float('nan'))
    with pytest.raises(ValueError, match='task='):
        ModelSpec(task='masks', classes=())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    'value', [float('inf'), 1.5, -1, 10**400, '0.5', None, True, [0.5]]
)
def test_exception_thresholds_that_no_score_reaches(value: Any) -> None:
    """Everything would be ok."""
    for given in (value, {'dent': value}):
        with pytest.raises(ValueError, match=r'^threshold.*: expected') as raised:
            CALIBRATED.with_threshold(given)
        assert '\n' not in str(raised.value)
    with pytest.raises(ValueError, match='default_threshold=2: expected at least 0'):
        ModelSpec(task='labels', classes=('a',), default_threshold=2)
    with pytest.raises(ValueError, match=r"thresholds\['a'\]=nan: expected a finite"):
        ModelSpec(task='maps', classes=('a',), thresholds={'a': float('nan')})


def test_feature_scores_of_maps_have_no_bounds() -> None:
    spec = ModelSpec(task='maps', classes=('a',))
    assert spec.with_threshold(1.5).threshold_of('a') == 1.5
    assert spec.with_threshold(-3).threshold_of('a') == -3
    with pytest.raises(ValueError, match='threshold=inf: expected a finite number'):
        spec.with_threshold(float('inf'))


def test_feature_alarms_go_with_their_thresholds() -> None:
    """Whoever moves a threshold takes the place of the images that chose it."""
    alarms = {name: {'text': f'images of {name}'} for name in ('a', 'b')}
    spec = ModelSpec(
        task='maps',
        classes=('a', 'b'),
        thresholds={'a': 1.0, 'b': 1.0},
        alarms=alarms,
        calibrated=True,
    )
    assert spec.with_threshold({'a': 2.0}).alarms == {'b': alarms['b']}
    assert spec.with_threshold(2.0).alarms == {}
    with pytest.raises(ValueError, match="alarms names the unknown class 'c'"):
        ModelSpec(task='maps', classes=('a',), alarms={'c': {'text': ''}})
