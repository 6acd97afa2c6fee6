"""What the first iterations of a recipe do."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import nn

from lab.first_steps import FirstStepsHook, first_steps, metrics_of
from tests.conftest import REPO

OPTIONS = {
    f'{split}_dataloader.{key}': value
    for split in ('train', 'val', 'test')
    for key, value in {'batch_size': 2, 'num_workers': 0}.items()
}


@pytest.fixture(scope='module')
def castings(tmp_path_factory):
    from mmdefect.testing import make_toy_casting

    return make_toy_casting(
        tmp_path_factory.mktemp('toy') / 'casting', parts=4, copies=3, size=64
    )


def test_smoke_a_recipe_of_the_study(castings) -> None:
    """Its penalty is coupled, its second softmax takes from the gradient."""
    roots = {
        f'{split}_dataloader.dataset.data_root': str(castings)
        for split in ('train', 'val', 'test')
    }
    options = {**OPTIONS, **roots, 'train_pipeline': None}
    found = {}
    for name in ('luna_legacy', 'luna_legacy-logits'):
        path = REPO / f'configs/casting/{name}_casting.py'
        found[name] = first_steps(path, iterations=1, options=options)
        assert len(found[name]) == 1
    both, logits = (rows[0] for rows in found.values())
    # At the start both see the same network: half of each probability is left over.
    assert both['spread'] == pytest.approx(logits['spread'], rel=1e-4)
    assert both['signal'] == pytest.approx(logits['signal'] / 2, rel=0.1)
    assert both['penalty'] > logits['penalty'] > 0
    assert 0 < both['alive'] <= 1
    assert all(
        math.isfinite(value) for row in found.values() for value in row[0].values()
    )


def test_feature_numbers_by_hand() -> None:
    """A head that sees known features."""
    hook = FirstStepsHook(9)
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    layer.register_forward_hook(hook._see)
    logits = layer(torch.tensor([[3.0, 0.0], [1.0, 2.0]]))
    (logits * torch.tensor([[0.5, -0.5], [0.0, 0.25]])).sum().backward()
    assert hook._row['spread'] == pytest.approx(2**0.5)
    assert hook._row['alive'] == 0.75
    assert hook._row['signal'] == pytest.approx(1.25)


def test_feature_first_and_last() -> None:
    rows = [{'loss': float(number)} for number in range(6)]
    assert metrics_of(rows, window=2) == {'loss/first': 0.0, 'loss/last': 4.5}
    assert json.dumps(metrics_of(rows[:1]))
