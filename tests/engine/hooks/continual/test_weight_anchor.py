"""The pull towards the weights of the step before."""

from __future__ import annotations

from functools import lru_cache

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.hooks.continual.weight_anchor import WeightAnchorHook
from mmdefect.functional.class_rows import CONDITIONER_CLASS_KEYS
from mmdefect.utils.checkpoint import load_weights
from tests.models.anomaly.conftest import (
    PRODUCTS,
    Images,
    chain_hook,
    make_runner,
    tiny_iuf,
)

FULL = {'type': 'SGD', 'lr': 1.0}
BN = ('conditioner.stem.1.running_mean', 'conditioner.stem.1.running_var')


def increment(work_dir, base, hooks=(), *, beta=0.05, fade=False, number=4, **changes):
    """A runner of the step that brings the third product."""
    anchor = WeightAnchorHook(beta=beta, fade=fade, checkpoint=str(base))
    hooks = [chain_hook(base, PRODUCTS), anchor, *hooks]
    runner = make_runner(
        work_dir,
        tiny_iuf(3, seed=5),
        Images(PRODUCTS, PRODUCTS[2:], number),
        hooks,
        optimizer=FULL,
        **changes,
    )
    return runner, anchor


@lru_cache
def old_state(path):
    return load_weights(path)['state_dict']


def old_and_new(runner, base):
    """Every tensor the anchor covers and what it is pulled to; rows of old products."""
    old, model = old_state(base), runner.model
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    for name, tensor in model.state_dict().items():
        if name in learning or name in BN:
            rows = slice(2) if name in CONDITIONER_CLASS_KEYS else slice(None)
            yield name, tensor[rows], old[name]


def distance(runner, base):
    """Length of the way of all that learns from the step before."""
    found = [
        (tensor - before).square().sum()
        for name, tensor, before in old_and_new(runner, base)
        if name not in BN
    ]
    return float(torch.stack(found).sum().sqrt())


def shift(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=generator))


def test_feature_distance_shrinks_by_beta(base_file, tmp_path):
    """0.95 an iteration, for every weight and running statistic."""
    runner, anchor = increment(tmp_path / 'work', base_file)
    anchor.before_train(runner)
    shift(runner.model)
    names = {name for name, _, _ in old_and_new(runner, base_file)}
    assert {*BN, *CONDITIONER_CLASS_KEYS, 'reconstructor.position.rows'} <= names
    before = {n: (t - o).clone() for n, t, o in old_and_new(runner, base_file)}
    new_rows = {
        n: runner.model.state_dict()[n][2].clone() for n in CONDITIONER_CLASS_KEYS
    }
    frozen = [p.clone() for p in runner.model.features.parameters()]
    counter = runner.model.conditioner.stem[1].num_batches_tracked
    number = 3
    for _ in range(number):
        anchor.before_train_iter(runner, 0)
    for name, tensor, old in old_and_new(runner, base_file):
        torch.testing.assert_close(
            tensor - old, 0.95**number * before[name], atol=1e-6, rtol=1e-4
        )
    for name, row in new_rows.items():
        assert torch.equal(runner.model.state_dict()[name][2], row)
    for now, then in zip(runner.model.features.parameters(), frozen, strict=True):
        assert torch.equal(now, then)
    assert counter == 0


def test_feature_the_pull_fades(base_file, tmp_path):
    """0.2, 0.15, 0.1 and 0.05 in the four iterations of a step."""
    runner, anchor = increment(
        tmp_path / 'work', base_file, beta=0.2, fade=True, number=4, batch_size=1
    )
    assert runner.max_iters == 4
    anchor.before_train(runner)
    shift(runner.model)
    before = {n: (t - o).clone() for n, t, o in old_and_new(runner, base_file)}
    for iteration in range(4):
        runner.train_loop._iter = iteration
        anchor.before_train_iter(runner, iteration)
    left = 0.8 * 0.85 * 0.9 * 0.95
    for name, tensor, old in old_and_new(runner, base_file):
        torch.testing.assert_close(
            tensor - old, left * before[name], atol=1e-6, rtol=1e-4
        )


@pytest.mark.parametrize('anchored', [True, False])
def test_feature_the_way_is_bounded(anchored, base_file, tmp_path):
    """lr 1, clip 0.1, beta 0.05: never more than 2.0 in 60 iterations.

    A constant push towards one side would go 6.0 without the anchor and, in a model
    that had nothing but old weights, 2 (1 - 0.95^60) = 1.908 with it.
    """
    ways = []

    class Watch(Hook):
        def before_train(self, runner: Runner) -> None:
            learning = [p for p in runner.model.parameters() if p.requires_grad]
            runner.model.penalties['push'] = lambda: (
                -30 * sum(p.sum() for p in learning)
            )

        def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
            ways.append(distance(runner, base_file))

    options = {'clip': 0.1, 'number': 60, 'batch_size': 1}
    beta = 0.05 if anchored else 0
    runner, _ = increment(tmp_path / 'work', base_file, [Watch()], beta=beta, **options)
    runner.train()
    assert len(ways) == 60
    if anchored:
        assert 1.8 < max(ways) <= 2.0
    else:
        assert max(ways) > 4


class Kill(Hook):
    priority = 'LOWEST'
    began = -1

    def before_train(self, runner: Runner) -> None:
        self.began = runner.epoch

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == 0:
            raise KeyboardInterrupt


def test_feature_a_killed_and_resumed_step_has_the_same_past(base_file, tmp_path):
    """Not the half-trained weights it was resumed with."""
    runner, first = increment(tmp_path / 'a', base_file, [Kill()], epochs=2)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert distance(runner, base_file) > 1e-3
    old = load_weights(base_file)['state_dict']
    watch = Kill()
    runner, second = increment(
        tmp_path / 'a', base_file, [watch], epochs=2, resume=True
    )
    runner.train()
    assert (watch.began, runner.epoch) == (1, 2)
    names = [name for name, _, _ in old_and_new(runner, base_file)]
    assert len(first._pairs[1]) == len(second._pairs[1]) == len(names)
    known = {name: old[name] for name in names}
    for ours, theirs in zip(second._pairs[1], first._pairs[1], strict=True):
        assert torch.equal(ours, theirs)
        assert any(torch.equal(ours, value) for value in known.values())
    whole, _ = increment(tmp_path / 'b', base_file, epochs=2)
    whole.train()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(runner.model.state_dict()[name], value), name


class TestExceptions:
    @pytest.mark.parametrize('beta', [1.0, -0.1])
    def test_exception_beta(self, beta):
        with pytest.raises(ValueError, match=rf'^beta={beta}: .*0 and less than 1'):
            WeightAnchorHook(beta=beta)

    @pytest.mark.parametrize(
        ('order', 'chained', 'anchored', 'message'),
        [
            (PRODUCTS[:2], False, False, r'^checkpoint=None of WeightAnchorHook'),
            (('metal', 'cloth', 'dots'), True, True, 'appends classes'),
            (('cloth', 'metal'), False, True, r"step before, \['cloth', 'dots'\]"),
        ],
    )
    def test_exception_step_before(
        self, order, chained, anchored, message, base_file, tmp_path
    ):
        anchor = WeightAnchorHook(checkpoint=str(base_file) if anchored else None)
        hooks = [chain_hook(base_file, order)] * chained + [anchor]
        model = tiny_iuf(len(order))
        runner = make_runner(tmp_path / 'work', model, Images(order), hooks)
        with pytest.raises(ValueError, match=message):
            runner.train()

    def test_exception_another_architecture(self, base_file, tmp_path):
        runner, anchor = increment(tmp_path / 'work', base_file)
        layer = runner.model.reconstructor.encoder[0].ffn.first
        layer.weight = torch.nn.Parameter(torch.zeros(7, 16))
        message = r'^reconstructor\.encoder\.0\.ffn\.first\.weight of shape \(7, 16\)'
        with pytest.raises(ValueError, match=message):
            anchor.before_train(runner)
