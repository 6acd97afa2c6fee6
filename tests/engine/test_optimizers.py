"""AdamW in merged groups: the same numbers, groups, hooks and checkpoints."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdefect.engine.optim_wrapper_constructor import spare_rows
from mmdefect.engine.optimizers import MergedAdamW, merged
from mmdefect.registry import OPTIMIZERS


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def grouped(model: nn.Module) -> list[dict[str, Any]]:
    """A group a parameter, as ``paramwise_cfg`` makes them; biases learn slower."""
    return [
        {'params': [parameter], 'lr': 0.02 if parameter.ndim > 1 else 0.01}
        for parameter in model.parameters()
    ]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 3, generator=generator)).square().mean().backward()
        optimizer.step()


def test_smoke_as_adamw_steps() -> None:
    ours, usual = network(), network()
    train(ours, MergedAdamW(grouped(ours), weight_decay=0.1))
    train(usual, torch.optim.AdamW(grouped(usual), weight_decay=0.1))
    for parameter, expected in zip(ours.parameters(), usual.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-5, atol=1e-7)
    assert not torch.equal(ours[0].weight, network()[0].weight)


def test_feature_groups_stay_apart_outside_of_a_step() -> None:
    model = network()
    optimizer = MergedAdamW(grouped(model))
    groups = optimizer.param_groups
    assert [len(group['params']) for group in merged(groups)] == [2, 2]
    seen: list[int] = []
    optimizer.register_step_post_hook(lambda *_: seen.append(len(groups)))
    train(model, optimizer, steps=2)
    assert optimizer.param_groups is groups
    assert len(groups) == 4
    assert seen == [4, 4]  # once a step


def test_feature_a_step_that_fails_leaves_the_groups() -> None:
    model = network()
    optimizer = MergedAdamW(grouped(model))
    model[0].weight.grad = torch.sparse_coo_tensor(size=(4, 3))
    with pytest.raises(RuntimeError, match='sparse'):
        optimizer.step()
    assert len(optimizer.param_groups) == 4


@pytest.mark.parametrize('turned', [False, True])
def test_feature_checkpoints_of_adamw_go_on(turned) -> None:
    """A run that was begun with the one is resumed with the other."""
    first, second = [torch.optim.AdamW, MergedAdamW][:: -1 if turned else 1]
    whole, resumed = network(), network()
    begun = first(grouped(whole), weight_decay=0.1)
    train(whole, begun)
    resumed.load_state_dict(whole.state_dict())
    optimizer = second(grouped(resumed), weight_decay=0.1)
    optimizer.load_state_dict(copy.deepcopy(begun.state_dict()))
    assert turned or all(group['fused'] for group in optimizer.param_groups)
    train(whole, begun)
    train(resumed, optimizer)
    for parameter, expected in zip(
        resumed.parameters(), whole.parameters(), strict=True
    ):
        torch.testing.assert_close(parameter, expected, rtol=1e-5, atol=1e-7)
    assert {int(entry['step']) for entry in optimizer.state.values()} == {10}


def test_feature_a_resumed_run_is_bit_equal() -> None:
    whole, part = network(), network()
    train(whole, ours := MergedAdamW(grouped(whole)))
    saved = copy.deepcopy((whole.state_dict(), ours.state_dict()))
    train(whole, ours)
    part.load_state_dict(saved[0])
    again = MergedAdamW(grouped(part))
    again.load_state_dict(saved[1])
    train(part, again)
    for parameter, expected in zip(part.parameters(), whole.parameters(), strict=True):
        assert torch.equal(parameter, expected)


def test_feature_spared_rows_are_decayed_once() -> None:
    """A hook before a step runs once, although torch's own step has such hooks, too."""
    torch.optim.AdamW([nn.Parameter(torch.ones(1))])  # hooks its class
    ours, usual = network(), network()
    for model, kind in ((ours, MergedAdamW), (usual, torch.optim.AdamW)):
        optimizer = kind(grouped(model), weight_decay=0.3)
        spare_rows(optimizer, model[2].weight, 1)
        train(model, optimizer)
    for parameter, expected in zip(ours.parameters(), usual.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-5, atol=1e-7)


def test_feature_built_by_name() -> None:
    optimizer = {'type': 'mmdefect.MergedAdamW', 'lr': 0.1, 'weight_decay': 0.01}
    keys = {'custom_keys': {'0': {'lr_mult': 0.3}}}
    wrapper = build_optim_wrapper(
        network(), {'optimizer': optimizer, 'paramwise_cfg': keys}
    )
    assert isinstance(wrapper.optimizer, MergedAdamW)
    assert OPTIMIZERS.get('MergedAdamW') is MergedAdamW
    assert len(merged(wrapper.optimizer.param_groups)) == 2
