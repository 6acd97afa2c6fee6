"""Measurements of pruning, on few and small images."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.benchmarks import pruning
from lab.benchmarks.pruning import PruningSuite

CONFIGS = Path(__file__).parents[3] / 'configs'


@pytest.fixture
def suite() -> PruningSuite:
    return PruningSuite(
        configs=CONFIGS, pairs=3, image_size=64, batch_size=8, images=16, segmented=2
    )


def test_smoke_images(suite: PruningSuite) -> None:
    images = suite.image_set()
    assert images.labels.tolist() == [0, 1] * 8
    (batch,) = suite.masked()
    assert batch.images.shape == (2, 3, 64, 64)
    assert set(batch.masks.unique().tolist()) == {0, 255}


def test_smoke_score(suite: PruningSuite) -> None:
    found = suite.comparisons['vgg16_score_seconds'](None)
    assert found['vgg16_score_seconds'] > 0


def test_feature_naive_sweep_finds_the_same_networks(
    suite: PruningSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises if one is different."""
    monkeypatch.setattr(pruning, 'legacy_fractions', lambda: [0.05, 0.1])
    monkeypatch.setattr(pruning, 'NAIVE_STEP', 1)
    found = suite.comparisons['sweep_speedup_over_naive'](None)
    ours, other = (
        found[f'sweep_speedup_over_naive_{side}_ms'] for side in ('ours', 'other')
    )
    assert found['sweep_speedup_over_naive'] == pytest.approx(other / ours)


def test_feature_sweep_is_the_sum_of_its_parts(
    suite: PruningSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, 'legacy_fractions', lambda: [0.05, 0.1])
    seen = []
    found = suite.comparisons['legacy_sweep_minutes'](
        lambda done, of: seen.append((done, of))
    )
    assert seen == [(1, 2), (2, 2)]
    parts = [found[f'legacy_sweep_{part}_minutes'] for part in PARTS]
    assert found['legacy_sweep_minutes'] == pytest.approx(sum(parts))


PARTS = ('score', 'feature', 'probe')


def test_feature_latency_without_a_compiler(
    suite: PruningSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pruning.measure_cost

    def only_eager(model, size, *, runs, compiled):
        if compiled:
            raise RuntimeError('no compiler\nat all')
        return real(model, size, runs=runs)

    monkeypatch.setattr(pruning, 'measure_cost', only_eager)
    found = suite.comparisons['latency_dense/pruned'](None)
    assert found['latency_dense/pruned'] == pytest.approx(
        found['dense_eager_p50_ms'] / found['pruned_eager_p50_ms']
    )
    assert 'dense_compiled_p50_ms' not in found
    assert 'torch.compile failed: no compiler.' in suite.notes
