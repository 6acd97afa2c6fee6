"""Thresholds of a model, calibrated ones and those that somebody has moved."""

from __future__ import annotations

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
    with pytest.raises(ValueError, match='threshold=nan: expected a number'):
        CALIBRATED.with_threshold(float('nan'))
    with pytest.raises(ValueError, match='task='):
        ModelSpec(task='masks', classes=())  # type: ignore[arg-type]
