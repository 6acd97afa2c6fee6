from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmdefect.engine.hooks import epoch_seed
from mmdefect.engine.hooks.epoch_seed import EpochSeedHook

Draw = Callable[..., tuple[float, float, float]]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Return the first numbers of Python, NumPy and torch in an epoch."""

    def numbers(
        *, seed: int = 0, step: int = 0, epoch: int = 0, rank: int = 0
    ) -> tuple[float, float, float]:
        monkeypatch.setattr(epoch_seed, 'get_rank', lambda: rank)
        runner = SimpleNamespace(seed=seed, epoch=epoch)
        EpochSeedHook(step=step).before_train_epoch(runner)
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    return numbers


def test_feature_every_part_counts(draw: Draw) -> None:
    """And they are not added up: step 1 at epoch 0 is not step 0 at epoch 1."""
    drawn = [draw(), draw(seed=1), draw(step=1), draw(epoch=1), draw(rank=1)]
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 5


def test_feature_history_does_not(draw: Draw) -> None:
    """What a killed and resumed run needs: epoch 3 is epoch 3."""
    for epoch in range(3):
        draw(epoch=epoch)
    straight = draw(epoch=3)
    torch.rand(7)
    assert draw(epoch=3) == straight


def test_feature_comes_first() -> None:
    assert EpochSeedHook().priority == 'VERY_HIGH'
