"""Convolutions run in channels-last order and compute the same."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from mmdefect.engine.hooks.channels_last import ChannelsLastHook


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
    )


def test_feature_order_follows_and_numbers_stay() -> None:
    """Activations follow the weights; optimizer and checkpoint are as they were."""
    model, other = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ChannelsLastHook().before_run(SimpleNamespace(model=model))  # type: ignore[arg-type]
    for name, value in other.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)
    x = torch.rand(2, 3, 16, 16)
    made = model(x)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert not made.is_contiguous()
    torch.testing.assert_close(made, other(x))
    before = model[0].weight.detach().clone()
    made.sum().backward()
    optimizer.step()
    assert not torch.equal(model[0].weight, before)
