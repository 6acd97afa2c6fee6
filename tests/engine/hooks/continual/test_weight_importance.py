"""EWC, MAS and SI, by hand where two weights are enough."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmdefect.engine.hooks.continual import weight_importance
from mmdefect.engine.hooks.continual.previous import aligned
from mmdefect.engine.hooks.continual.weight_importance import (
    ImportancePenaltyHook,
    WeightImportanceHook,
    WeightPath,
    gradient_importance,
    penalty,
)
from mmdefect.functional.class_rows import CONDITIONER_CLASS_KEYS
from mmdefect.utils.checkpoint import load_weights
from tests.models.anomaly.conftest import (
    PRODUCTS,
    Images,
    chain_hook,
    make_runner,
    prepared,
    tiny_iuf,
)

METHODS = ['ewc', 'mas', 'si']


class Two(nn.Module):
    """Two weights (1, 2), the output ``w . x``, the loss its mean square."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.penalties = {'old': lambda: 1e3 * self.w.sum()}

    def data_preprocessor(self, data, training):
        return {'inputs': torch.stack(data), 'data_samples': data}

    def outputs(self, inputs):
        return [inputs @ self.w[:, None]]

    def forward(self, inputs, data_samples, mode):
        losses = {'loss_rec': self.outputs(inputs)[0].square().mean()}
        return {**losses, **{f'loss_{n}': p() for n, p in self.penalties.items()}}


def two_weights():
    loader = SimpleNamespace(
        dataset=[torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])],
        batch_size=2,
        collate_fn=list,
    )
    return SimpleNamespace(model=Two(), train_dataloader=loader)


def by_hand(value):
    return pytest.approx(value, rel=1e-5)


class TestByHand:
    # Outputs 1 and 3; gradients of their squares (2, 0) and (6, 6).
    @pytest.mark.parametrize(
        ('method', 'size', 'expected'),
        [
            ('ewc', 1, [(4 + 36) / 2, 36 / 2]),
            ('mas', 1, [(2 + 6) / 2, 6 / 2]),
            # Of the mean (4, 3): its square times the size of the batch.
            ('ewc', 2, [2 * 16, 2 * 9]),
            ('mas', 2, [4, 3]),
        ],
    )
    def test_feature_gradients(self, method, size, expected):
        """Penalties of earlier steps are no part of the loss."""
        runner = two_weights()
        found = gradient_importance(runner, method, size)
        assert found['w'].tolist() == by_hand(expected)
        assert runner.model.training

    def test_feature_penalty(self):
        weight = nn.Parameter(torch.tensor([1.5, 1.0]))
        importance = {'w': torch.tensor([20.0, 18.0])}
        old = {'w': torch.tensor([1.0, 2.0])}
        value = penalty(0.5, {'w': weight}, importance, old)
        # 0.5 (20 * 0.5^2 + 18 * 1^2)
        assert value.item() == by_hand(11.5)
        value.backward()
        # 2 * 0.5 * importance * difference
        assert weight.grad.tolist() == by_hand([10, -18])

    def test_feature_path(self):
        """Loss a^2 from 1 with lr 0.1: 1, 0.8, 0.64; the second weight never moves."""
        a, b = nn.Parameter(torch.tensor(1.0)), nn.Parameter(torch.tensor(3.0))
        optimizer = torch.optim.SGD([a, b], lr=0.1)
        path = WeightPath({'a': a, 'b': b})
        path.follow(optimizer)
        for _ in range(2):
            optimizer.zero_grad()
            a.square().backward()
            optimizer.step()
        # 2 * 0.2 + 1.6 * 0.16, over 0.36^2 + 0.001.
        assert path.saved['a'].item() == by_hand(0.656)
        found = path.importance()
        assert found['a'].item() == by_hand(0.656 / (0.36**2 + 1e-3))
        assert found['b'].item() == 0
        path.leave()
        assert not optimizer._optimizer_step_pre_hooks
        assert not optimizer._optimizer_step_post_hooks
        # A way that cost is not important.
        path.saved['a'] = torch.tensor(-1.0)
        assert path.importance()['a'].item() == 0


def second_step(work_dir, base, hooks, **changes):
    return make_runner(
        work_dir,
        tiny_iuf(3, seed=5),
        Images(PRODUCTS, PRODUCTS[2:]),
        [chain_hook(base, PRODUCTS), *hooks],
        **changes,
    )


def penalty_hook(method, path, *, weight=1.0):
    return ImportancePenaltyHook(method=method, weight=weight, checkpoint=str(path))


class TestCollecting:
    def test_smoke_one_step(self, base_file):
        kept = load_weights(base_file)['weight_importance']
        learning = [n for n, p in tiny_iuf(2).named_parameters() if p.requires_grad]
        assert sorted(kept) == METHODS
        for values in kept.values():
            assert list(values) == learning
            assert all(v.dtype == torch.bfloat16 for v in values.values())
            assert all(v.isfinite().all() and (v >= 0).all() for v in values.values())
            assert sum(float(v.float().sum()) for v in values.values()) > 0
        assert 'weight_path' not in load_weights(base_file)

    def test_feature_steps_add_up(self, base_file, tmp_path, monkeypatch):
        """Rows of a new product begin at zero."""
        new = {}

        def ones(runner, method, size):
            named = runner.model.named_parameters()
            new.update({n: torch.ones_like(p) for n, p in named if p.requires_grad})
            return dict(new)

        monkeypatch.setattr(weight_importance, 'gradient_importance', ones)
        hook = WeightImportanceHook(methods=['ewc', 'mas'], checkpoint=str(base_file))
        second_step(tmp_path / 'work', base_file, [hook]).train()
        kept = load_weights(tmp_path / 'work/epoch_1.pth')['weight_importance']
        before = load_weights(base_file)['weight_importance']
        assert list(kept) == ['ewc', 'mas']  # what was asked for
        for method in ('ewc', 'mas'):
            for name, value in kept[method].items():
                old = before[method][name].float()
                if name in CONDITIONER_CLASS_KEYS:
                    assert (value[2].float() == 1).all()
                    value = value[:2]
                torch.testing.assert_close(value.float(), old + 1, atol=0, rtol=2**-7)

    def test_feature_a_killed_and_resumed_step_follows_the_same_path(self, tmp_path):
        class Kill(Hook):
            priority = 'LOWEST'

            def after_train_epoch(self, runner: Runner) -> None:
                if runner.epoch == 0:
                    raise KeyboardInterrupt

        def run(name, hooks=(), **changes):
            hooks = [WeightImportanceHook(), *hooks]
            data = Images(PRODUCTS[:2])
            changes = {'epochs': 2, **changes}
            make_runner(tmp_path / name, tiny_iuf(2), data, hooks, **changes).train()

        run('whole')
        with pytest.raises(KeyboardInterrupt):
            run('broken', [Kill()])
        run('broken', resume=True)
        whole, broken = (
            load_weights(tmp_path / f'{name}/epoch_2.pth')['weight_importance']
            for name in ('whole', 'broken')
        )
        for method in METHODS:
            for name, value in whole[method].items():
                assert torch.equal(broken[method][name], value), (method, name)


def test_feature_old_rows_go_where_their_class_is_now():
    name = CONDITIONER_CLASS_KEYS[1]
    old = {name: torch.tensor([5.0, 7.0]), 'other': torch.ones(2)}
    old['gone'] = torch.ones(1)
    now = {name: torch.zeros(3), 'other': torch.zeros(2)}
    found = aligned(old, now, torch.tensor([2, 0]), CONDITIONER_CLASS_KEYS)
    assert found[name].tolist() == [7, 0, 5]
    assert found['other'].tolist() == [1, 1]
    assert list(found) == list(now)
    assert not now[name].any()


class TestPenalty:
    def test_feature_zero_at_first_and_gone_at_last(self, base_file, tmp_path):
        found = []

        class Watch(Hook):
            def after_train_iter(self, runner, batch_idx, data_batch, outputs) -> None:
                found.append(float(outputs['loss_si']))

        hook = penalty_hook('si', base_file, weight=100.0)
        runner = second_step(tmp_path / 'work', base_file, [hook, Watch()], epochs=2)
        runner.train()
        assert found[0] == 0
        assert found[1] > 0
        assert not runner.model.penalties

    def test_feature_it_is_what_its_formula_says(self, base_file, tmp_path):
        hook = penalty_hook('ewc', base_file, weight=10.0)
        runner = second_step(tmp_path / 'work', base_file, [hook])
        hook.before_train(runner)
        loaded, model = load_weights(base_file), runner.model
        losses = model(**prepared(model), mode='loss')
        expected = 0
        for name, importance in loaded['weight_importance']['ewc'].items():
            now, rows = model.get_parameter(name), slice(len(importance))
            way = now[rows] - loaded['state_dict'][name]
            expected += 10 * float((importance.float() * way.square()).sum())
        assert float(losses['loss_ewc']) == pytest.approx(expected, rel=1e-4)
        # A new product's rows have no past to be held at.
        losses['loss_ewc'].backward()
        for name in CONDITIONER_CLASS_KEYS:
            assert not model.get_parameter(name).grad[2].any()


class TestExceptions:
    def test_exception_method(self):
        with pytest.raises(ValueError, match=r"^method='lwf': expected one of ewc"):
            ImportancePenaltyHook(method='lwf', weight=1.0)
        with pytest.raises(ValueError, match=r"^methods='lwf': expected one of ewc"):
            WeightImportanceHook(methods=['ewc', 'lwf'])

    @pytest.mark.parametrize(
        ('hook', 'kept', 'message'),
        [
            ('collect', [], r'in\.pth holds no weight_importance: .*ImportanceHook'),
            ('penalty', [], r'in\.pth holds no weight_importance: .*ImportanceHook'),
            ('penalty', ['ewc', 'mas'], r"holds .* \['ewc', 'mas'\]: expected 'si'"),
        ],
    )
    def test_exception_it_was_not_collected(
        self, hook, kept, message, base_file, tmp_path
    ):
        loaded, path = load_weights(base_file), tmp_path / 'in.pth'
        found = loaded['weight_importance']
        loaded['weight_importance'] = {method: found[method] for method in kept}
        torch.save(loaded, path)
        collect = hook == 'collect'
        made = WeightImportanceHook(checkpoint=str(path)) if collect else None
        runner = second_step(
            tmp_path / 'work', path, [made or penalty_hook('si', path)]
        )
        with pytest.raises(ValueError, match=message):
            runner.train()
