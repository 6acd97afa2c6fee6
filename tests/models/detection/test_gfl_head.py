from __future__ import annotations

import pytest
import torch
from torch import nn

from mmdefect.models.detection import gfl_head
from tests.models.detection.conftest import (
    head_features,
    losses_of_head,
    make_head,
    truths,
)


@pytest.fixture
def heads() -> tuple[nn.Module, nn.Module]:
    """mmdet's head and ours, with the same weights."""
    theirs = make_head('mmdet.GFLHead', num_classes=6)
    ours = make_head('mmdefect.GFLHead', num_classes=6)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


@pytest.mark.parametrize('boxes', [2, 0])
def test_feature_losses_equal_mmdets_bit_for_bit(
    boxes: int, heads: tuple[nn.Module, nn.Module]
) -> None:
    """With and without objects; gradients too."""
    results = []
    for head in heads:
        maps = head_features()
        losses = losses_of_head(head, truths((0, 5), (3, 5), boxes=boxes), maps)
        values = [value for key in sorted(losses) for value in losses[key]]
        sum(values).backward()
        grads = [tensor.grad for tensor in (*head.parameters(), *maps)]
        results.append([*values, *(grad for grad in grads if grad is not None)])
    theirs, ours = results
    assert len(theirs) > 9 + len(maps)  # three losses on three levels, gradients
    assert sum(value.abs().sum() for value in theirs) > 0
    for found, expected in zip(ours, theirs, strict=True):
        assert torch.equal(found, expected)


def test_feature_normaliser_is_global(
    heads: tuple[nn.Module, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes with the same images are one process with them twice.

    Equal processes need no communication: a mean over them is the value of each. The
    weights of a new head are so small that mmdet's clamp at 1 acts on every process.
    """
    theirs, ours = heads
    nn.init.zeros_(theirs.gfl_cls.weight)
    ours.load_state_dict(theirs.state_dict())
    maps, gt = head_features(), truths((0, 5), (3, 5))
    doubled = tuple(torch.cat([level, level]) for level in maps)
    twice = losses_of_head(ours, gt * 2, doubled)
    monkeypatch.setattr(gfl_head, 'get_world_size', lambda: 2)
    shared = losses_of_head(ours, gt, maps)
    for key in ('loss_cls', 'loss_bbox', 'loss_dfl'):
        torch.testing.assert_close(shared[key], twice[key], rtol=1e-5, atol=1e-7)
    # What is cured: one process of mmdet's sees half of it.
    ratio = sum(losses_of_head(theirs, gt, maps)['loss_bbox']) / sum(twice['loss_bbox'])
    assert ratio.item() < 0.9
