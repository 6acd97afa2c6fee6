"""A killed base step goes on with what its loss has seen."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch

from mmdefect.utils.checkpoint import load_weights
from tests.models.anomaly.conftest import PRODUCTS, Images, make_runner, tiny_iuf

HOOK = {'type': 'mmdefect.CompressionMemoryHook'}


def model():
    # Twelve rows are kept, an epoch brings eighteen.
    compression = {'selector': 'index', 'index': 4, 'memory': 12}
    kind = 'mmdefect.SemanticCompressionLoss'
    return tiny_iuf(3, compression={'type': kind, **compression})


def train(work_dir, hooks, *, epochs=2, **changes):
    data, hooks = Images(PRODUCTS, number=6), copy.deepcopy(hooks)
    runner = make_runner(work_dir, model(), data, hooks, epochs=epochs, **changes)
    runner.train()
    return runner


def difference(one, other) -> float:
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize('hooks', [[HOOK], []])
def test_feature_resumed_equals_uninterrupted(hooks, tmp_path) -> None:
    """With the hook to the last bit, and without it not."""
    whole = train(tmp_path / 'whole', hooks)
    for epoch, rows in ((1, bool(hooks)), (2, False)):  # only within a step
        kept = load_weights(tmp_path / f'whole/epoch_{epoch}.pth')
        assert ('compression_rows' in kept) == rows
        assert not rows or kept['compression_rows'][0].shape == (1, 12, 16)
    shutil.copytree(tmp_path / 'whole', tmp_path / 'killed')
    (tmp_path / 'killed/epoch_2.pth').unlink()
    last = tmp_path / 'killed/last_checkpoint'
    last.write_text(str(tmp_path / 'killed/epoch_1.pth'), encoding='utf-8')
    resumed = train(tmp_path / 'killed', hooks, resume=True)
    assert (difference(whole, resumed) == 0) is bool(hooks)


def test_feature_a_model_without_the_loss(tmp_path) -> None:
    runner = make_runner(
        tmp_path / 'work', tiny_iuf(3), Images(PRODUCTS), [HOOK], epochs=2
    )
    runner.train()
    assert 'compression_rows' not in load_weights(tmp_path / 'work/epoch_1.pth')


def test_feature_another_number_of_processes_starts_without(tmp_path) -> None:
    train(tmp_path / 'work', [HOOK], epochs=1)
    path = tmp_path / 'work/epoch_1.pth'
    loaded = load_weights(path)
    loaded['compression_rows'] = [torch.zeros(1, 12, 16)] * 2
    torch.save(loaded, path)
    train(tmp_path / 'work', [HOOK], epochs=2, resume=True)
