"""Steps of memories of patches."""

from __future__ import annotations

import pytest
import torch

from mmdefect.engine.hooks.coreset import CoresetHook
from mmdefect.models.anomaly.coreset import IncrementalCoreset
from mmdefect.models.anomaly.product_memory.bank import FIELDS
from mmdefect.models.anomaly.product_memory.model import ProductMemory
from mmdefect.utils.checkpoint import load_weights
from tests.models.anomaly.conftest import (
    CHANNELS,
    GRID,
    PRODUCTS,
    Images,
    Taps,
    chain_hook,
    make_runner,
)


def run(work_dir, number, keep, hooks=(), epochs=1):
    torch.manual_seed(number)
    sizes = {'in_channels': CHANNELS, 'grid': GRID, 'per_class': 6}
    model = IncrementalCoreset(backbone=Taps(), num_classes=number, **sizes)
    runner = make_runner(
        work_dir,
        model,
        Images(PRODUCTS[:number], keep, number=3),
        [CoresetHook(), *hooks],
        optimizer={'type': 'SGD', 'lr': 0.0},
        epochs=epochs,
        batch_size=2,
    )
    runner.train()
    return work_dir / f'epoch_{epochs}.pth'


def test_feature_memory_grows_step_by_step(tmp_path):
    """Old places by name, new ones filled, the same backbone, all in the checkpoint."""
    first = run(tmp_path / 'a', 2, PRODUCTS[:2])
    keys = {'class_keys': ('memory', 'filled')}
    chain = chain_hook(first, PRODUCTS, **keys)
    second = run(tmp_path / 'b', 3, PRODUCTS[2:], [chain])
    old, new = (load_weights(path)['state_dict'] for path in (first, second))
    assert old['memory'].shape == (2, 6, CHANNELS)
    assert new['memory'].shape == (3, 6, CHANNELS)
    assert torch.equal(new['memory'][:2], old['memory'])
    assert new['filled'].tolist() == [6, 6, 6]
    assert new['memory'][2].any()
    for name in old:
        if name.startswith('features.'):
            assert torch.equal(new[name], old[name])


def test_exception_epochs(tmp_path):
    with pytest.raises(ValueError, match=r'^train_cfg\.max_epochs=2 .*: expected 1'):
        run(tmp_path / 'a', 2, PRODUCTS[:2], epochs=2)


def remember(work_dir, classes, keep, hooks=()):
    torch.manual_seed(len(classes))
    model = ProductMemory(
        backbone=Taps(),
        in_channels=CHANNELS,
        num_classes=len(classes),
        grid=GRID,
        per_class=20,
        alarm={'rate': 0.3, 'confidence': 0.7},
    )
    runner = make_runner(
        work_dir,
        model,
        Images(classes, keep, number=9),
        [CoresetHook(), *hooks],
        optimizer={'type': 'SGD', 'lr': 0.0},
        batch_size=4,
    )
    runner.train()
    return work_dir / 'epoch_1.pth'


def test_feature_old_banks_are_the_same_after_three_steps(tmp_path):
    """Bit by bit, by name, whatever place their product has."""
    dots, cloth, metal = 'dots', 'cloth', 'metal'
    steps = [[dots], [cloth, dots], [metal, cloth, dots]]
    before: dict[str, dict[str, torch.Tensor]] = {}
    checkpoint = None
    for number, classes in enumerate(steps):
        hooks = []
        if checkpoint is not None:
            hooks = [chain_hook(checkpoint, classes, class_keys=None)]
        checkpoint = remember(tmp_path / str(number), classes, classes[:1], hooks)
        state = load_weights(checkpoint)['state_dict']
        now = {
            name: {k: v for k, v in state.items() if k.startswith(f'banks.{place}.')}
            for place, name in enumerate(classes)
        }
        for name, bank in before.items():
            old, new = list(bank.values()), list(now[name].values())
            assert len(old) == len(new) == len(FIELDS)
            assert all(map(torch.equal, old, new)), name
            assert [v.dtype for v in old] == [v.dtype for v in new]
        assert all(len(now[name][f'banks.{k}.mean']) for k, name in enumerate(classes))
        before = now
