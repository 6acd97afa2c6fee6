"""Moments within boxes and outside."""

from __future__ import annotations

import pytest
import torch

from mmdefect.functional.moments import (
    moment_distance,
    place_weights,
    region_moments,
)


def test_feature_padding_does_not_count() -> None:
    inside = torch.full((1, 1, 4, 4), torch.nan)
    inside[..., :3, :3] = 0  # a place of a 2 x 2 map is padded in part, or is not
    inside[..., :2, :2] = 1
    within, outside = place_weights(inside, (2, 2))
    assert within.flatten().tolist() == [1, 0, 0, 0]
    assert outside.flatten().tolist() == [0, 0, 0, 0]


def test_feature_against_plain_means() -> None:
    torch.manual_seed(0)
    features = torch.rand(3, 5, 8, 8)
    inside = torch.zeros(3, 1, 8, 8)
    inside[:, :, 2:5, 1:7] = 1
    chosen = inside.bool().expand_as(features)
    found = region_moments(features, place_weights(inside, (8, 8)))
    for region, mask in zip(found, (chosen, ~chosen), strict=True):
        values = features.transpose(0, 1)[mask.transpose(0, 1)].view(5, -1)
        torch.testing.assert_close(region[0], values.mean(dim=1))
        torch.testing.assert_close(region[1], values.var(dim=1, unbiased=False))


def test_feature_half_a_place_counts_half() -> None:
    inside = torch.tensor([[[[1.0, 1, 1, 0]]]])
    features = torch.tensor([[[[1.0, 4.0]]]])
    within, outside = region_moments(features, place_weights(inside, (1, 2)))[:, 0]
    assert within.tolist() == pytest.approx([2.0])
    assert outside.tolist() == pytest.approx([4.0])


def test_feature_a_region_without_a_place() -> None:
    """Is unknown, and left out of distances."""
    found = region_moments(
        torch.rand(1, 2, 2, 2), place_weights(torch.ones(1, 1, 2, 2), (2, 2))
    )
    assert found[0].isfinite().all()
    assert found[1].isnan().all()
    wanted = torch.rand(2, 2, 2) + 0.1
    torch.testing.assert_close(
        moment_distance([found], [wanted]), moment_distance([found[:1]], [wanted[:1]])
    )
    assert moment_distance([found[1:]], [wanted[1:]]) == 0


def test_feature_distance() -> None:
    moments = [torch.rand(2, 2, 3) + 0.1, torch.rand(2, 2, 4) + 0.1]
    assert moment_distance(moments, moments) == 0
    wider = [torch.stack([m[:, 0], m[:, 1] * torch.e], dim=1) for m in moments]
    torch.testing.assert_close(moment_distance(wider, moments), torch.tensor(0.25))


def test_gradcheck() -> None:
    torch.manual_seed(0)
    features = torch.rand(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    inside = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    inside[..., :2, :2] = 1
    wanted = [torch.rand(2, 2, 2, dtype=torch.float64) + 0.1]

    def off(maps: torch.Tensor) -> torch.Tensor:
        weights = place_weights(inside, (3, 3))
        return moment_distance([region_moments(maps, weights)], wanted)

    assert torch.autograd.gradcheck(off, (features,))
