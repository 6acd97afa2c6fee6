from __future__ import annotations

import copy

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mmdefect.engine.optim_wrapper_constructor import spare_rows

OPTIMIZERS = [
    (torch.optim.SGD, {'lr': 0.1, 'momentum': 0.9}),
    (torch.optim.Adam, {'lr': 0.01}),
    (torch.optim.AdamW, {'lr': 0.01}),
]
each_optimizer = pytest.mark.parametrize(
    ('optimizer', 'options'), OPTIMIZERS, ids=lambda v: getattr(v, '__name__', '')
)


class Head(nn.Module):
    def __init__(self, num_old_classes: int | None = 2) -> None:
        super().__init__()
        self.gfl_cls = nn.Conv2d(3, 5, 1)
        if num_old_classes is not None:
            self.num_old_classes = num_old_classes


class Detector(nn.Module):
    def __init__(self, **kwargs) -> None:
        super().__init__()
        self.neck = nn.Conv2d(3, 3, 1)
        self.bbox_head = Head(**kwargs)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, rows: slice) -> None:
    """Five steps whose loss sees the given class rows only."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        x = torch.randn(2, 3, 4, 4, generator=generator)
        optimizer.zero_grad()
        model.bbox_head.gfl_cls(model.neck(x))[:, rows].square().mean().backward()
        optimizer.step()


@each_optimizer
def test_feature_old_rows_rest_and_new_rows_decay_as_ever(optimizer, options) -> None:
    torch.manual_seed(0)
    model = Detector()
    before = copy.deepcopy(model.state_dict())
    usual, spared = copy.deepcopy(model), copy.deepcopy(model)
    options = {'weight_decay': 0.1, **options}
    train(usual, optimizer(usual.parameters(), **options), slice(2, 5))
    ours = optimizer(spared.parameters(), **options)
    for parameter in spared.bbox_head.gfl_cls.parameters():
        spare_rows(ours, parameter, 2)
    train(spared, ours, slice(2, 5))
    for key, value in spared.state_dict().items():
        expected = usual.state_dict()[key]
        if 'gfl_cls' in key:
            # without gradient and without decay an old row cannot move
            assert torch.equal(value[:2], before[key][:2])
            assert not torch.equal(expected[:2], before[key][:2])
            value, expected = value[2:], expected[2:]
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)


def constructor(**kwargs):
    wrapper = {'optimizer': {'type': 'SGD', 'lr': 0.1, 'weight_decay': 0.1}}
    kind = {'type': 'mmdefect.SpareOldRows', 'optim_wrapper_cfg': wrapper}
    return OPTIM_WRAPPER_CONSTRUCTORS.build({**kind, **kwargs})


@pytest.mark.parametrize('paramwise', [None, {'custom_keys': {'neck': {'lr_mult': 2}}}])
def test_feature_constructor(paramwise) -> None:
    model = Detector()
    before = copy.deepcopy(model.state_dict())
    wrapper = constructor(paramwise_cfg=paramwise)(model)
    held = [p for group in wrapper.optimizer.param_groups for p in group['params']]
    assert len(held) == len({id(p) for p in held}) == len(list(model.parameters()))
    train(model, wrapper.optimizer, slice(2, 5))
    after = model.bbox_head.gfl_cls.weight
    assert torch.equal(after[:2], before['bbox_head.gfl_cls.weight'][:2])
    assert not torch.equal(after[2:], before['bbox_head.gfl_cls.weight'][2:])


def test_feature_state_survives_a_resume() -> None:
    model = Detector()
    wrapper = constructor()(model)
    train(model, wrapper.optimizer, slice(2, 5))
    again = constructor()(copy.deepcopy(model))
    again.load_state_dict(wrapper.state_dict())
    assert str(again.state_dict()) == str(wrapper.state_dict())


def test_smoke_frozen_rows_are_left_out() -> None:
    model = Detector()
    optimizer = torch.optim.SGD(model.neck.parameters(), lr=0.1, weight_decay=0.1)
    spare_rows(optimizer, model.bbox_head.gfl_cls.weight, 2)
    assert len(optimizer.param_groups) == 1


def test_exception_head_without_old_classes() -> None:
    with pytest.raises(ValueError, match='num_old_classes=None of Detector: '):
        constructor()(Detector(num_old_classes=None))
