"""Hooks in two processes; slow because torchrun starts three processes."""

from __future__ import annotations

import json

import pytest
import torch

from mmdefect.utils.checkpoint import load_weights
from tests.conftest import HELPERS
from tests.helpers.ranks import run_ranks

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def out(warm, tmp_path_factory):
    folder = tmp_path_factory.mktemp('two')
    run_ranks(HELPERS / 'training_run.py', folder, programs=warm)
    return folder


def test_feature_freezing(out) -> None:
    """DDP waits for no gradient of what is frozen, and both ranks stay equal."""
    first, second = (load_weights(out / f'freeze{r}.pth') for r in range(2))
    for run in (first, second):
        gone, learned = set(), set()
        for name, value in run['after'].items():
            same = torch.equal(value, run['before'][name])
            (gone if same else learned).add(name.rpartition('.')[0])
        assert gone == {'backbone.conv1', 'backbone.norm1'}
        assert learned == {'backbone.conv2', 'backbone.norm2', 'head'}
    for name, value in first['after'].items():
        if 'running' not in name:
            assert torch.equal(value, second['after'][name]), name
    assert first['seen'] != second['seen']


def test_exception_a_loss_that_is_no_number(out) -> None:
    """The image of one rank ends both, with the same sentence."""
    one, two = ((out / f'loss{r}.txt').read_text(encoding='utf-8') for r in range(2))
    assert one == two
    message = 'epoch 1, iteration 1: loss_cls is not finite on a batch of 1.png, 3.png '
    assert message in one
    noted = json.loads((out / 'loss/non_finite_loss.json').read_text(encoding='utf-8'))
    assert [part['rank'] for part in noted['batches']] == [1]
    assert not list((out / 'loss').glob('epoch*'))
