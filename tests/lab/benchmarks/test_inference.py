"""The inference benchmark at tiny sizes; no test asserts a time.

Most are slow: networks are exported, processes are started, toys are trained.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lab.benchmarks import edge_install, inference
from lab.benchmarks.inference import ENGINES, InferenceSuite, compared
from lab.benchmarks.inference_cases import CASES, write_case
from lab.benchmarks.inference_engines import (
    CONFIG,
    WEIGHTS,
    batch_of,
    open_engine,
)
from lab.benchmarks.peak import peak_bytes
from lab.tables.benchmark_table import LEAST, TARGETS
from lab.tables.inference_table import inference_lines
from mmdefect.apis.torch_backend import TorchBackend

CONFIGS = Path(__file__).parents[3] / 'configs'
BEST = 'pruned_b1_best/eager'


@pytest.fixture(scope='module')
def suite() -> InferenceSuite:
    # Two epochs: the first one warms up.
    return InferenceSuite(configs=CONFIGS, pairs=2, images=20, toys=3, epochs=2)


def test_feature_every_number_with_a_target_is_measured(suite: InferenceSuite) -> None:
    names = {*TARGETS, *LEAST}
    aimed = {name for name in names if name.endswith('_best/eager')}
    aimed |= {name for name in names if name.startswith(('inferencer_', 'folder_'))}
    aimed |= {name for name in names if name.endswith('_int8_gain')}
    assert len(aimed) == 9
    assert aimed <= set(suite.comparisons)
    assert {name.partition('_b')[0] for name in suite.comparisons} >= set(CASES)
    assert '2 rounds' in suite.notes
    assert 'torch.compile failed' not in suite.notes


def test_feature_engines_are_compared_with_eager() -> None:
    taken = {'eager': [4.0, 4.0, 8.0], 'ort': [1.0, 1.0, 4.0], 'openvino': [2.0] * 3}
    found = compared('gfl_b1', taken)
    assert next(iter(found)) == 'gfl_b1_best/eager'
    assert found['gfl_b1_best/eager'] == found['gfl_b1_ort/eager'] == 0.25
    assert found['gfl_b1_ort/eager_q75'] == 0.375
    assert found['gfl_b1_openvino/eager'] == 0.5
    assert found['gfl_b1_eager_p50_ms'] == 4000
    assert found['gfl_b1_eager_p95_ms'] == pytest.approx(7600)
    assert not any('compiled' in name for name in found)
    assert '| `gfl` | 1 | 4000.0 / 7600.0 | – |' in '\n'.join(inference_lines(found))


def test_feature_peak_of_a_process() -> None:
    """Not less than it has now, and not more than the kernel has ever counted."""
    resident = int(Path('/proc/self/statm').read_text().split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    assert 0.9 * resident * resource.getpagesize() <= peak_bytes() <= 1.1 * most


def test_feature_first_result_of_an_edge_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any interpreter; a process that fails is not timed."""
    monkeypatch.setattr(edge_install, 'FIRST', 'import sys; print(sys.argv[1])')
    fake = tmp_path / 'python'
    fake.write_text('#!/bin/sh\n[ "$3" = good ] || { echo no >&2; exit 3; }\n')
    fake.chmod(0o755)
    run = edge_install.first_result_seconds
    assert 0 < run(fake, Path('good'), tmp_path, runs=2) < 60
    with pytest.raises(RuntimeError, match='python failed: no'):
        run(fake, Path('bad'), tmp_path, runs=2)


@pytest.mark.slow
@pytest.mark.parametrize('name', CASES)
def test_feature_networks(name: str, tmp_path: Path) -> None:
    """Each predicts; a detector has boxes, so that there is something to suppress."""
    write_case(CASES[name], CONFIGS, tmp_path)
    backend = TorchBackend(tmp_path / CONFIG, weights=tmp_path / WEIGHTS, device='cpu')
    image = np.random.default_rng(0).integers(
        0, 256, (CASES[name].side,) * 2 + (3,), np.uint8
    )
    (output,) = backend([image])
    tasks = {'gfl': 'boxes', 'coreset': 'maps', 'iuf': 'maps'}
    assert backend.spec.task == tasks.get(name, 'labels')
    if name == 'gfl':
        assert len(output.boxes) > 10


@pytest.mark.slow
def test_feature_engines_put_out_the_same(suite: InferenceSuite) -> None:
    folder = suite.made('pruned')
    batch = batch_of(folder, 2, CASES['pruned'].side)
    eager, ort, openvino = (
        open_engine(name, folder, 1)(batch) for name in ENGINES if name != 'compiled'
    )
    expected = eager[0].numpy()
    assert expected.shape == (2, 2)
    for found in (ort, openvino):
        np.testing.assert_allclose(found['probabilities'], expected, atol=1e-5)


@pytest.mark.slow
def test_feature_without_a_compiler(
    suite: InferenceSuite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others are measured, and the reason is written."""

    def broken(network: Any, **settings: Any) -> Callable:
        def run(batch: Any) -> None:
            raise RuntimeError('no compiler.\nat all')

        return run

    monkeypatch.setattr(torch, 'compile', broken)
    found = suite.comparisons[BEST](None)
    assert found[BEST] > 0
    for engine in ('eager', 'ort', 'openvino'):
        key = f'pruned_b1_{engine}'
        assert 0 < found[f'{key}_p50_ms'] <= found[f'{key}_p95_ms']
        assert found[f'{key}_peak_bytes'] > 30e6
    # Torch alone takes hundreds of megabytes.
    ort, eager = (found[f'pruned_b1_{name}_peak_bytes'] for name in ('ort', 'eager'))
    assert ort < 0.5 * eager
    assert 'torch.compile failed with pruned_b1: no compiler.' in suite.notes


@pytest.mark.slow
def test_feature_folder(suite: InferenceSuite) -> None:
    name = 'folder_peak/peak_of_a_tenth'
    found = suite.comparisons[name](None)
    ours, other = found[f'{name}_ours_bytes'], found[f'{name}_other_bytes']
    assert found[name] == ours / other
    assert other > 30e6


@pytest.mark.slow
@pytest.mark.parametrize('sides', ['ort/network', 'torch/network', 'torch/predict'])
def test_feature_overhead(
    suite: InferenceSuite, sides: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, 'FILES', 8)
    name = f'inferencer_{sides}'
    found = suite.comparisons[name](None)
    ours, other = found[f'{name}_ours_ms'], found[f'{name}_other_ms']
    assert ours > 0
    assert other > 0
    assert found[name] > 0
    assert f'inferencer_{sides.replace("/", "_arrays/")}' in found


@pytest.mark.slow
@pytest.mark.parametrize('toy', ['casting', 'gfl'])
def test_feature_int8(
    suite: InferenceSuite, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, 'SIDE', 64)
    found = suite.comparisons[f'{toy}_int8_gain'](None)
    for name in (toy, f'{toy}_openvino'):
        assert found[f'{name}_int8_gain'] > 0
        before, after = (
            found[f'{name}_{kind}_accuracy'] for kind in ('float32', 'int8')
        )
        lost = found[f'{name}_int8_lost_points']
        assert lost == pytest.approx(100 * (before - after))
        assert 0 <= before <= 1
