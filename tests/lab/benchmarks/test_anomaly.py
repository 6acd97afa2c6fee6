"""The anomaly suite: IUF at paper size, on images so small that it takes seconds.

How fast anything is depends on the machine: no test here asserts a time.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch

from lab.benchmarks.anomaly import AnomalySuite, speedup
from lab.benchmarks.anomaly_memory import saved_bytes
from lab.benchmarks.anomaly_metrics import (
    random_records,
    stacked_pixels,
    streamed,
    threshold_aupro,
)
from mmdefect.utils.timing import PairTimes
from tests.conftest import REPO


@pytest.fixture(scope='module')
def anomaly() -> AnomalySuite:
    return AnomalySuite(
        configs=REPO / 'configs',
        pairs=2,
        train_pairs=2,
        image_size=32,
        batch_size=2,
        maps=3,
    )


@pytest.fixture(scope='module')
def iuf(anomaly):
    return anomaly.model()


@pytest.mark.parametrize('name', ['auroc_exact', 'auroc_streaming', 'aupro'])
def test_feature_metrics_agree_with_the_usual_code(anomaly, name: str) -> None:
    found = anomaly.comparisons[f'{name}_speedup'](None)
    assert found[f'{name}_difference'] < (1e-3 if name == 'aupro' else 1e-12)
    low, high = (found[f'{name}_speedup_{part}'] for part in ('q25', 'q75'))
    assert 0 < low <= found[f'{name}_speedup'] <= high < math.inf


def test_feature_usual_aupro_by_hand() -> None:
    """One region, half of it found at once and the rest among the normal pixels."""
    maps = np.array([[[4.0, 2, 3, 1, 1, 1]]])
    masks = np.array([[[1, 1, 0, 0, 0, 0]]], dtype=bool)
    found = threshold_aupro(maps, masks, thresholds=4, fpr_limit=1.0)
    # (FPR, overlap): (0, 0.5), (0.25, 0.5), (0.25, 1), (1, 1)
    assert found == pytest.approx(0.25 * 0.5 + 0.75)
    found = threshold_aupro(maps, masks, thresholds=4, fpr_limit=0.2)
    assert found == pytest.approx(0.5)


def test_feature_random_records() -> None:
    records = random_records(40, size=128)
    maps, masks = stacked_pixels(records)
    assert 0.004 < masks.mean() < 0.011
    defective = masks.any(axis=(1, 2))
    assert defective.tolist() == [record.label == 1 for record in records]
    assert defective.sum() == 29
    assert maps.min() >= 1
    again, _ = stacked_pixels(random_records(40, size=128))
    assert np.array_equal(maps, again)
    assert 0.5 < streamed(records).auroc() < 1


def test_exception_without_scikit_learn(anomaly, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'sklearn.metrics', None)
    with pytest.raises(RuntimeError, match='scikit-learn is not installed: expected'):
        anomaly.comparisons['auroc_exact_speedup'](None)


def test_feature_faster_by_so_much() -> None:
    times = PairTimes(a=(1.0, 2.0, 1.0), b=(4.0, 4.0, 6.0))
    assert speedup('ours/other', times) == {
        'ours/other': 4,
        'ours/other_q25': 3,
        'ours/other_q75': 5,
        'ours/other_ours_ms': 1000,
        'ours/other_other_ms': 4000,
    }


def test_feature_saved_bytes_by_hand() -> None:
    x = torch.ones(4, 8, requires_grad=True)
    assert saved_bytes(lambda: x.exp()) == 4 * 8 * 4
    # Its own output, which is the argument of the next, and that one's twice.
    assert saved_bytes(lambda: x.exp().square() * 2) == 4 * 8 * 4
    assert saved_bytes(lambda: x.exp() * x.T.reshape(4, 8)) == 2 * 4 * 8 * 4
    assert saved_bytes(lambda: x.square()) == 4 * 8 * 4
    assert saved_bytes(lambda: x.square(), spared=[x]) == 0


def test_feature_compat_memory(anomaly) -> None:
    found = anomaly.comparisons['compat_saved_gib_per_image'](None)
    saved = found['compat_saved_gib_per_image']
    block = found['compat_block_gib_per_image']
    plain = found['compat_plain_saved_gib_per_image']
    assert found['compat_max_difference'] <= 1e-5
    # Without recomputing, four blocks are kept, which are larger without fusion.
    assert 0 < block < saved + 3 * block < plain


def test_feature_statistics_do_not_grow(anomaly) -> None:
    found = anomaly.comparisons['statistics_mb_per_step'](None)
    first, second = found.values()
    # Eight layers, 256 x 256 numbers of eight bytes each.
    assert 8 * 256 * 256 * 8 / 1e6 <= first <= 5
    assert second == first


def test_feature_cached_training_needs_no_backbone(anomaly, iuf, monkeypatch) -> None:
    step = anomaly.training_step(iuf)

    def refuse(images):
        raise AssertionError('the backbone ran')

    monkeypatch.setattr(iuf.features, 'forward', refuse)
    before = iuf.reconstructor.output.weight.detach().clone()
    losses = step()
    assert {'loss_cls', 'loss_rec', 'loss_scl'} <= set(losses)
    assert not torch.equal(iuf.reconstructor.output.weight, before)


def test_feature_compiled_inference_or_the_reason(anomaly, iuf, monkeypatch) -> None:
    monkeypatch.setattr(anomaly, 'model', lambda: iuf)
    monkeypatch.setattr(torch, 'compile', lambda model, dynamic: model)
    eager, compiled = 'infer_eager_b1_images_per_s', 'infer_compiled_b1_images_per_s'
    found = anomaly.comparisons[eager](None)
    assert found[eager] > 0
    assert found[compiled] > 0
    assert 'torch.compile failed' not in anomaly.notes

    def broken(model, dynamic):
        raise RuntimeError('no working C++ compiler.\nSee the log.')

    monkeypatch.setattr(torch, 'compile', broken)
    assert set(anomaly.comparisons[eager](None)) == {
        eager,
        f'{eager}_q25',
        f'{eager}_q75',
    }
    said = 'torch.compile failed at batch 1: no working C++ compiler.'
    assert anomaly.notes.endswith(said)
    anomaly._not_compiled.clear()


def test_shape_predictions(anomaly, iuf) -> None:
    for sample in anomaly.predictor(iuf, 2)():
        assert sample.pred_map.shape == (32, 32)
        assert sample.pred_score.shape == ()
