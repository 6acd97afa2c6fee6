from __future__ import annotations

import pytest
from mmengine.config import Config

from mmdefect.streams.state import (
    StepState,
    StreamState,
    canonical,
    config_hash,
    first_difference,
)


def test_smoke_round_trip(tmp_path):
    state = StreamState('s', ['a', 'b'], [StepState(0, ['a']), StepState(1, ['b'])])
    state.steps[0].checkpoint = 'step_0/epoch_1.pth'
    state.save(tmp_path)
    assert StreamState.load(tmp_path) == state
    assert not list(tmp_path.glob('*.tmp'))


def test_exception_no_stream(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'holds no stream\.json: expected the work dir'
    ):
        StreamState.load(tmp_path)


def test_feature_hash_ignores_where_a_run_happens():
    def cfg(place, **more):
        hook = {'type': 'mmdefect.ChainCheckpointHook', 'checkpoint': f'{place}/a.pth'}
        place = {'work_dir': place, 'custom_hooks': [hook]}
        return Config({'lr': 1, 'scale': (3, 4), **place, **more})

    here = cfg('/here', resume=False, launcher='none')
    there = cfg('/there', resume=True, launcher='pytorch', scale=[3, 4])
    assert config_hash(here) == config_hash(there)
    there.lr = 2
    assert config_hash(here) != config_hash(there)


def test_feature_first_difference_names_the_key():
    a = canonical(Config({'optim': {'lr': 1, 'steps': [1, 2]}, 'x': 1}))
    b = canonical(Config({'optim': {'lr': 1, 'steps': [1, 3]}, 'x': 1}))
    assert first_difference(a, a) is None
    assert first_difference(a, b) == 'optim.steps.1 (was 3, is 2)'
    assert first_difference({'x': 1, 'y': 1}, {'x': 1}) == 'y (added)'
    assert first_difference({'x': 1}, {'x': 1, 'y': 1}) == 'y (gone)'
    assert first_difference({'x': [1]}, {'x': [1, 2]}) == 'x (was [1, 2], is [1])'


def test_feature_a_former_name_of_a_type_is_no_change():
    """Old work dirs hold the loader by its name before; they resume and are reused."""

    def cfg(loader):
        pipeline = [{'type': loader, 'to_float32': True}, {'type': 'Resize'}]
        return Config({'train_dataloader': {'dataset': {'pipeline': pipeline}}})

    stock, ours = cfg('LoadImageFromFile'), cfg('mmdefect.LoadCachedImage')
    assert config_hash(stock) == config_hash(ours)
    assert first_difference(canonical(stock), canonical(ours)) is None
    assert config_hash(cfg('LoadImageFromWebcam')) != config_hash(ours)
