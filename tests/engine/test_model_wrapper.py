from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn

from mmdefect.engine.model_wrapper import DistributedModel, ReplicatedModel


class Halves(BaseModel):
    """Two layers; which ones the loss sees and what is frozen in `train` is chosen."""

    def __init__(self, *, used: str = 'both', frozen: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 1), nn.Linear(2, 1)
        self.used = used
        self.frozen = frozen

    def train(self, mode: bool = True) -> Halves:
        super().train(mode)
        if self.frozen:
            self.second.requires_grad_(False)
        return self

    def forward(self, inputs: Tensor, mode: str = 'loss') -> dict[str, Tensor]:
        loss = self.first(inputs).mean()
        if self.used == 'both':
            loss = loss + self.second(inputs).mean()
        if self.used == 'wrong':
            raise RuntimeError('something else')
        return {'loss': loss}


def wrapped(model: BaseModel, **kwargs: Any) -> Any:
    cfg = {'type': 'mmdefect.DistributedModel', 'device_ids': None, **kwargs}
    return MODEL_WRAPPERS.build(cfg, default_args={'module': model})


def two_iterations(model: Any) -> None:
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
    for _ in range(2):
        model.train()
        model.train_step({'inputs': torch.ones(3, 2)}, optimizer)


def test_smoke_all_trains(ddp: None) -> None:
    model = wrapped(Halves())
    assert isinstance(model, DistributedModel)
    before = model.module.second.weight.clone()
    two_iterations(model)
    torch.testing.assert_close(model.module.second.weight, before - 2)


def test_feature_one_process_needs_no_ddp(group_of_one: None) -> None:
    """Nor does it mind a layer that nothing uses; it trains as without a group."""
    torch.manual_seed(0)
    model, alone = wrapped(Halves(used='first')), Halves(used='first')
    assert type(model) is ReplicatedModel
    alone.load_state_dict(model.module.state_dict())
    for each in (model, alone):
        two_iterations(each)
    torch.testing.assert_close(model.module.state_dict(), alone.state_dict())


def test_feature_what_freezes_in_train_is_left_out(ddp: None) -> None:
    """And stays with the optimizer, which is built in between."""
    model = wrapped(Halves(used='first', frozen=True))
    assert len([p for p in model.parameters() if p.requires_grad]) == 4
    two_iterations(model)
    assert not model.module.second.weight.requires_grad


def test_exception_names_what_got_no_gradient(ddp: None) -> None:
    message = (
        r'^no gradient reached second\.weight, second\.bias: expected .*; .* freeze '
        r'them .* find_unused_parameters=True in the config'
    )
    with pytest.raises(ValueError, match=message):
        two_iterations(wrapped(Halves(used='first')))
    two_iterations(wrapped(Halves(used='first'), find_unused_parameters=True))


def test_exception_of_the_model_is_its_own(ddp: None) -> None:
    with pytest.raises(RuntimeError, match=r'^something else$'):
        two_iterations(wrapped(Halves(used='wrong')))
