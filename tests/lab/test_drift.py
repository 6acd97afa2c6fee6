"""Weight drift: by hand, of two checkpoints, and what cannot be compared."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from lab.drift import compare_checkpoints, drift_table, weight_drift


def save(path: Path, **weights: list[float]) -> Path:
    state = {name.replace('__', '.'): torch.tensor(w) for name, w in weights.items()}
    torch.save({'state_dict': state}, path)
    return path


def test_feature_only_weights_of_the_backbone(tmp_path: Path) -> None:
    frozen = save(
        tmp_path / 'frozen.pth',
        backbone__a=[1.0, 0.0],
        backbone__b=[0.0, 2.0],
        backbone__running_mean=[1.0],
        head__fc=[1.0],
    )
    tuned = save(
        tmp_path / 'tuned.pth',
        backbone__a=[0.0, 1.0],
        backbone__b=[0.0, 3.0],
        backbone__running_mean=[-1.0],
        head__fc=[-1.0],
    )
    drift = compare_checkpoints(frozen, tuned)
    assert drift.tensors == {'backbone.a': 0, 'backbone.b': 1}
    table = drift_table(drift)
    # 6 / sqrt(5 * 10), then what moved most.
    assert table.rows == [
        ('all', '0.8485'),
        ('backbone.a', '0.0000'),
        ('backbone.b', '1.0000'),
    ]


def test_exception_no_backbone(tmp_path: Path) -> None:
    path = save(tmp_path / 'a.pth', head__fc=[1.0])
    with pytest.raises(ValueError, match="with weights that begin with 'backbone"):
        compare_checkpoints(path, path)


BEFORE = {'a': torch.tensor([3.0, 4.0]), 'b': torch.tensor([[0.0, 2.0]])}
AFTER = {'a': torch.tensor([4.0, 3.0]), 'b': torch.tensor([[2.0, 0.0]])}


def test_smoke() -> None:
    found = weight_drift(BEFORE, AFTER)
    assert found.tensors == {'a': pytest.approx(24 / 25), 'b': 0.0}
    assert found.overall == pytest.approx(24 / 29)


def test_feature_untouched_and_opposite() -> None:
    state = nn.Conv2d(3, 8, 3).state_dict()
    same = weight_drift(state, {name: 2 * value for name, value in state.items()})
    assert list(same.tensors) == ['weight', 'bias']
    assert [*same.tensors.values(), same.overall] == pytest.approx([1, 1, 1])
    assert max(*same.tensors.values(), same.overall) <= 1
    opposite = weight_drift(state, {name: -value for name, value in state.items()})
    assert opposite.overall == pytest.approx(-1)
    large = {'w': torch.tensor([1e30, 1e30])}
    small = {'w': torch.tensor([1e-30, 0.0])}
    assert weight_drift(large, small).overall == pytest.approx(math.sqrt(0.5))


def test_feature_equals_torch() -> None:
    torch.manual_seed(0)
    one, other = nn.Linear(30, 20).state_dict(), nn.Linear(30, 20).state_dict()
    found = weight_drift(one, other)
    for name, value in found.tensors.items():
        pair = one[name].flatten().double(), other[name].flatten().double()
        assert value == pytest.approx(torch.cosine_similarity(*pair, dim=0).item())
    flat = [torch.cat([v.flatten() for v in s.values()]) for s in (one, other)]
    expected = torch.cosine_similarity(*flat, dim=0).item()
    assert found.overall == pytest.approx(expected, abs=1e-6)


def test_feature_counters_are_left_out_and_zeros_are_undefined() -> None:
    one, other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    other(torch.rand(2, 4, 3, 3))
    found = weight_drift(one.state_dict(), other.state_dict())
    assert 'num_batches_tracked' not in found.tensors
    assert found.tensors['weight'] == 1
    assert math.isnan(found.tensors['bias'])  # both zero
    assert math.isnan(found.tensors['running_mean'])  # zero before
    assert 0 < found.overall < 1


def test_exception() -> None:
    with pytest.raises(ValueError, match=r'b \(1 in all\): expected in both'):
        weight_drift(BEFORE, {'a': AFTER['a']})
    with pytest.raises(
        ValueError, match=r'a: expected one shape, not \(2,\) and \(3,\)'
    ):
        weight_drift(BEFORE, {**AFTER, 'a': torch.ones(3)})
    with pytest.raises(ValueError, match='expected tensors of floating point type'):
        weight_drift({'n': torch.tensor(1)}, {'n': torch.tensor(1)})
