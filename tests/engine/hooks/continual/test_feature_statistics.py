"""Gram matrices of layer outputs, summed over steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.hooks import SyncBuffersHook
from mmengine.runner import get_priority

from mmdefect.engine.hooks.continual import previous
from mmdefect.engine.hooks.continual.feature_statistics import FeatureStatisticsHook
from mmdefect.engine.hooks.safe_checkpoint import SafeCheckpointHook
from mmdefect.registry import HOOKS
from mmdefect.utils.checkpoint import load_weights
from tests.models.anomaly.conftest import (
    PRODUCTS,
    WIDTH,
    Images,
    chain_hook,
    make_runner,
    tiny_iuf,
    train_base,
)

LAYERS = [
    f'reconstructor.{part}.{k}.ffn.second'
    for part in ('encoder', 'decoder')
    for k in range(2)
]


@pytest.fixture(scope='module')
def base_file(tmp_path_factory):
    return train_base(tmp_path_factory.mktemp('base') / 'work', epochs=2)


def rows_of(model, images):
    """Token means of every layer, one image at a time."""
    model.eval()
    outputs = {}
    for name in LAYERS:
        model.get_submodule(name).register_forward_hook(
            lambda m, a, out, name=name: outputs.setdefault(name, []).append(out)
        )
    for found in images:
        data = {key: [value] for key, value in found.items()}
        model(**model.data_preprocessor(data, False))
    return {n: torch.cat(v).mean(dim=1).detach() for n, v in outputs.items()}


def loaded_model(path, number):
    model = tiny_iuf(number)
    model.load_state_dict(load_weights(path)['state_dict'])
    return model


def second_step(work_dir: Path, base: Path, **changes):
    return make_runner(
        work_dir,
        tiny_iuf(3, seed=5),
        Images(PRODUCTS, PRODUCTS[2:]),
        [chain_hook(base, PRODUCTS), FeatureStatisticsHook(checkpoint=str(base))],
        **changes,
    )


def assert_grams(found, expected_rows):
    for name, expected in expected_rows.items():
        rows = expected.double()
        torch.testing.assert_close(found[name], rows.T @ rows, atol=1e-4, rtol=1e-4)


def test_feature_one_step(base_file):
    """Every image once, at the end of the last epoch, in eval mode without noise."""
    kept = load_weights(base_file)['feature_statistics']
    assert kept['images'] == 8
    assert sorted(kept['grams']) == sorted(LAYERS)
    model = loaded_model(base_file, 2)
    assert_grams(kept['grams'], rows_of(model, Images(PRODUCTS[:2])))
    earlier = load_weights(base_file.parent / 'epoch_1.pth')
    assert 'feature_statistics' not in earlier


def test_feature_two_steps_are_the_gram_of_all_rows(base_file, tmp_path):
    """The rows of each step as its own last model has them; no larger than one."""
    runner = second_step(tmp_path / 'work', base_file)
    runner.train()
    # Nothing stays on the layers.
    assert not any(module._forward_hooks for module in runner.model.modules())
    assert runner.model.training
    path = tmp_path / 'work/epoch_1.pth'
    kept, before = (load_weights(p)['feature_statistics'] for p in (path, base_file))
    assert kept['images'] == 12
    models = loaded_model(base_file, 2), loaded_model(path, 3)
    images = Images(PRODUCTS[:2]), Images(PRODUCTS, PRODUCTS[2:])
    parts = [rows_of(*pair) for pair in zip(models, images, strict=True)]
    everything = {name: torch.cat([part[name] for part in parts]) for name in LAYERS}
    assert_grams(kept['grams'], everything)
    for grams in (kept['grams'], before['grams']):
        assert all(total.shape == (WIDTH, WIDTH) for total in grams.values())
        assert all(total.dtype == torch.float64 for total in grams.values())


def test_feature_a_step_before_is_read_once(base_file, tmp_path):
    """Training twice with one hook does not count it twice."""
    hook = FeatureStatisticsHook(checkpoint=str(base_file))
    for _ in range(2):
        hook.before_train(None)
    assert hook._images == 8


def test_feature_ranks_share_the_images(monkeypatch, tmp_path):
    runner = make_runner(tmp_path / 'work', tiny_iuf(3), Images(PRODUCTS, number=3), [])
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    monkeypatch.setattr(previous, 'get_world_size', lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(previous, 'get_rank', lambda rank=rank: rank)
        batches = list(previous.own_batches(runner, 2))
        shares.append([s.img_path for b in batches for s in b['data_samples']])
    assert [len(share) for share in shares] == [5, 4]
    assert len({*shares[0], *shares[1]}) == 9


def test_feature_a_repeated_image_counts_once():
    """``rebalance`` repeats images in training only."""

    class Repeated:
        def __len__(self):
            return 5

        def get_data_info(self, index):
            return {'img_path': 'abacb'[index]}

    assert previous.own_images(Repeated()) == [0, 1, 3]
    assert previous.own_images(range(3)) == [0, 1, 2]


@pytest.mark.parametrize('name', ['FeatureStatisticsHook', 'WeightImportanceHook'])
def test_feature_collects_from_what_is_saved(name):
    """Processes have agreed on running statistics by then."""
    hook = HOOKS.build({'type': f'mmdefect.{name}'})
    order = [get_priority(h.priority) for h in (SyncBuffersHook(), hook)]
    assert order[0] < order[1] < get_priority(SafeCheckpointHook.priority)


@pytest.mark.parametrize(
    'name', ['FeatureStatisticsHook', 'WeightImportanceHook', 'CoresetHook']
)
def test_exception_training_by_iterations(name, tmp_path):
    hooks = [{'type': f'mmdefect.{name}'}]
    loop = {'by_epoch': False, 'max_iters': 2}
    data = Images(PRODUCTS[:2])
    runner = make_runner(tmp_path / 'work', tiny_iuf(2), data, hooks, train_cfg=loop)
    with pytest.raises(ValueError, match=rf'=False with {name}: expected epochs'):
        runner.train()


def test_exception_no_such_layer(tmp_path):
    hook = FeatureStatisticsHook(layers=['reconstructor.*.ffn.third'])
    runner = make_runner(tmp_path / 'work', tiny_iuf(2), Images(PRODUCTS[:2]), [hook])
    with pytest.raises(ValueError, match=r'^layers=.*third.*: .* layers of IUF'):
        runner.train()


def test_exception_the_step_before_collected_nothing(base_file, tmp_path):
    loaded = load_weights(base_file)
    del loaded['feature_statistics']
    torch.save(loaded, tmp_path / 'in.pth')
    runner = second_step(tmp_path / 'work', tmp_path / 'in.pth')
    message = r'in\.pth holds no feature_statistics: .*FeatureStatisticsHook'
    with pytest.raises(ValueError, match=message):
        runner.train()
