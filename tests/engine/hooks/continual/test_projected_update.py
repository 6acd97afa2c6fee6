"""Gradients that spare what earlier products used."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.hooks.continual.projected_update import (
    ProjectedUpdateHook,
    project_gradients,
)
from mmdefect.functional.subspace import suppression_matrix
from mmdefect.utils.checkpoint import load_weights
from tests.models.anomaly.conftest import (
    PRODUCTS,
    Images,
    chain_hook,
    make_runner,
    tiny_iuf,
)


class Watch(Hook):
    """What the optimizer is given before and after the projection, and its step."""

    def __init__(self, when: str) -> None:
        # Before or after the hook under test registers its own.
        self.priority = 'HIGH' if when == 'before' else 'LOW'
        self.gradients: dict = {}
        self.weights: dict = {}

    def before_train(self, runner: Runner) -> None:
        named = dict(runner.model.named_parameters())

        def remember(*_):
            self.gradients = {
                n: p.grad.clone() for n, p in named.items() if p.grad is not None
            }
            self.weights = {n: p.detach().clone() for n, p in named.items()}

        runner.optim_wrapper.optimizer.register_step_pre_hook(remember)


def test_feature_after_clipping_and_before_the_step(base_file, tmp_path):
    before, after = Watch('before'), Watch('after')
    model = tiny_iuf(3, seed=5)
    hook = ProjectedUpdateHook(checkpoint=str(base_file))
    runner = make_runner(
        tmp_path / 'work',
        model,
        Images(PRODUCTS, PRODUCTS[2:]),
        [chain_hook(base_file, PRODUCTS), hook, before, after],
        optimizer={'type': 'SGD', 'lr': 1.0},
        clip=0.1,
    )
    runner.train()  # one iteration
    # The optimizer keeps those of the watches alone.
    assert len(runner.optim_wrapper.optimizer._optimizer_step_pre_hooks) == 2
    hook.after_train(runner)  # nothing is left to remove
    length = torch.cat([g.flatten() for g in before.gradients.values()]).norm()
    assert float(length) == pytest.approx(0.1, rel=1e-4)
    grams = load_weights(base_file)['feature_statistics']['grams']
    named = dict(model.named_parameters())
    for name, gradient in before.gradients.items():
        layer = name.rpartition('.')[0]
        expected = gradient
        if layer in grams:
            matrix = suppression_matrix(grams[layer]).float()
            expected = matrix @ gradient
            assert (expected - gradient).abs().max() > 1e-6
            strongest = torch.linalg.eigh(grams[layer]).eigenvectors[:, -1].float()
            assert (strongest @ after.gradients[name]).norm() < 1e-6
        torch.testing.assert_close(after.gradients[name], expected, msg=name)
        moved = before.weights[name] - named[name]
        torch.testing.assert_close(moved, expected, atol=1e-6, rtol=1e-4, msg=name)
    assert len([name for name in before.gradients if '.ffn.second.' in name]) == 8


def test_feature_weights_without_a_gradient_are_left():
    one, other = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    one.grad = torch.tensor([1.0, 2.0])
    project_gradients([(one, torch.diag(torch.tensor([0.0, 1.0]))), (other, one)])
    assert one.grad.tolist() == [0, 2]
    assert other.grad is None


@pytest.mark.parametrize(
    ('before', 'message'),
    [
        (True, r'in\.pth holds no feature_statistics: .*FeatureStatisticsHook'),
        (False, r'^checkpoint=None of ProjectedUpdateHook'),
    ],
)
def test_exception_no_statistics(before, message, base_file, tmp_path):
    loaded = load_weights(base_file)
    del loaded['feature_statistics']
    torch.save(loaded, tmp_path / 'in.pth')
    hook = ProjectedUpdateHook(checkpoint=str(tmp_path / 'in.pth') if before else None)
    data = Images(PRODUCTS[:2])
    runner = make_runner(tmp_path / 'work', tiny_iuf(2), data, [hook])
    with pytest.raises(ValueError, match=message):
        runner.train()
