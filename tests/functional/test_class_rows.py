"""Tests of mmdefect.functional.class_rows."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmdefect.functional.class_rows import (
    GFL_CLASS_KEYS,
    expand_by_class,
    scale_rows,
    with_fresh_classes,
)

WEIGHT, BIAS = GFL_CLASS_KEYS


def _state(values: list[float], **extra: Tensor) -> dict[str, Tensor]:
    """Weights whose class rows are recognisable by their value."""
    rows = torch.tensor(values)
    return {
        'backbone.weight': torch.full((2, 2), rows.sum().item()),
        WEIGHT: rows.reshape(-1, 1, 1, 1).repeat(1, 2, 3, 3),
        BIAS: rows.clone(),
        **extra,
    }


def test_smoke() -> None:
    """Rows move by name, in any order; new rows and nothing else stay fresh."""
    old, new = _state([1.0, 2.0]), _state([10.0, 20.0, 30.0])
    filled, report = expand_by_class(
        old, new, old_classes=['crack', 'spot'], new_classes=['spot', 'pit', 'crack']
    )
    assert filled[BIAS].tolist() == [2.0, 20.0, 1.0]
    assert torch.equal(filled[WEIGHT][:, 0, 0, 0], torch.tensor([2.0, 20.0, 1.0]))
    assert torch.equal(filled['backbone.weight'], old['backbone.weight'])
    assert list(filled) == list(new)
    assert report.copied == ('backbone.weight',)
    assert report.expanded == (WEIGHT, BIAS)
    assert report.initialised == ()
    assert report.fresh_classes == ('pit',)
    assert str(report) == (
        '1 keys copied, 2 expanded by class name, 0 newly initialised; classes taken '
        'over: crack, spot; fresh: pit'
    )


def test_feature_inputs_are_not_modified() -> None:
    old, new = _state([1.0]), _state([10.0, 20.0])
    expand_by_class(old, new, old_classes=['a'], new_classes=['a', 'b'])
    assert old[BIAS].tolist() == [1.0]
    assert new[BIAS].tolist() == [10.0, 20.0]


def test_feature_new_keys() -> None:
    """Keys that match a pattern keep their fresh values, and are reported."""
    old, new = _state([1.0]), _state([5.0], **{'neck.extra.w': torch.ones(3)})
    filled, report = expand_by_class(
        old, new, old_classes=['a'], new_classes=['a'], new_keys=['neck.extra.*']
    )
    assert torch.equal(filled['neck.extra.w'], torch.ones(3))
    assert report.initialised == ('neck.extra.w',)
    assert report.fresh_classes == ()


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ({'lost': torch.ones(1)}, {}, r'1 not in the model: lost;'),
        ({}, {'extra': torch.ones(1)}, r'1 not in the old weights: extra;'),
        (
            {'neck': torch.ones(1, 2)},
            {'neck': torch.ones(3, 2)},
            r'1 of another shape: neck \(1, 2\) -> \(3, 2\);',
        ),
    ],
)
def test_exception_unaccounted_key(old, new, message) -> None:
    with pytest.raises(ValueError, match=message):
        expand_by_class(
            _state([1.0], **old),
            _state([1.0], **new),
            old_classes=['a'],
            new_classes=['a'],
        )


def test_exception_class_key_of_another_width() -> None:
    old, new = _state([1.0]), _state([1.0, 2.0])
    new[WEIGHT] = new[WEIGHT][:, :1]
    with pytest.raises(ValueError, match=r'gfl_cls.weight \(1, 2, 3, 3\) -> \(2, 1,'):
        expand_by_class(old, new, old_classes=['a'], new_classes=['a', 'b'])


def test_exception_lost_class() -> None:
    with pytest.raises(
        ValueError, match=r"\['a', 'c'\]: expected the old classes \['b'\]"
    ):
        expand_by_class(
            _state([1.0, 2.0]),
            _state([1.0, 2.0]),
            old_classes=['a', 'b'],
            new_classes=['a', 'c'],
        )


def test_exception_duplicate_class() -> None:
    with pytest.raises(
        ValueError, match=r"classes=\['a', 'a'\]: expected each name once"
    ):
        expand_by_class(
            _state([1.0]), _state([1.0] * 2), old_classes=['a'], new_classes=['a', 'a']
        )


def test_exception_wrong_number_of_classes() -> None:
    with pytest.raises(ValueError, match=r"old_classes=\['a'\]: expected 2 names"):
        expand_by_class(
            _state([1.0, 2.0]),
            _state([1.0, 2.0, 3.0]),
            old_classes=['a'],
            new_classes=['a', 'b', 'c'],
        )


def test_feature_fresh_classes() -> None:
    """Scores start at 0.01, weights at N(0, 0.01), the same for the same seed."""
    state = _state([1.0, 2.0])
    state[WEIGHT] = torch.ones(2, 256, 3, 3)
    fresh = with_fresh_classes(state, num_classes=5, seed=3)
    assert fresh[WEIGHT].shape == (5, 256, 3, 3)
    assert fresh[WEIGHT].mean().abs() < 3e-4
    assert abs(fresh[WEIGHT].std().item() - 0.01) < 3e-4
    # python -c "import math; print(-math.log(99))"
    torch.testing.assert_close(fresh[BIAS], torch.full((5,), -4.59511985013459))
    torch.testing.assert_close(fresh[BIAS].sigmoid(), torch.full((5,), 0.01))
    again = with_fresh_classes(state, num_classes=5, seed=3)
    other = with_fresh_classes(state, num_classes=5, seed=4)
    assert torch.equal(fresh[WEIGHT], again[WEIGHT])
    assert not torch.equal(fresh[WEIGHT], other[WEIGHT])
    assert fresh['backbone.weight'] is state['backbone.weight']


def test_exception_fresh_classes_of_another_head() -> None:
    with pytest.raises(
        ValueError, match=r"class_keys='bbox_head\.gfl_cls\.weight': expected"
    ):
        with_fresh_classes({'backbone.weight': torch.ones(1)}, num_classes=2)


def test_feature_scaled_rows() -> None:
    """``a`` times the weights, ``a`` times the bias plus ``b``, class by class."""
    state = _state([2.0, 3.0])
    moved = scale_rows(state, torch.tensor([[1.0, 0.0], [2.0, -1.0]]))
    assert moved[BIAS].tolist() == [2.0, 5.0]
    assert moved[WEIGHT][:, 1, 2, 2].tolist() == [2.0, 6.0]
    assert torch.equal(moved['backbone.weight'], state['backbone.weight'])
    assert state[BIAS].tolist() == [2.0, 3.0]


def test_exception_scaled_rows_of_other_classes() -> None:
    with pytest.raises(ValueError, match='lines of 3 classes: expected 2'):
        scale_rows(_state([1.0, 2.0]), torch.ones(3, 2))
