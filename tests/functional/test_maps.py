"""Maps enlarged, smoothed and summed up."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mmdefect.functional.maps import enlarge_maps, enlarging_matrix, top_mean


def drawn(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('size', [(28, 28), (37, 90), (5, 64)])
def test_feature_enlarged_as_interpolate_does(size):
    maps = drawn(2, 1, 7, 7)
    expected = F.interpolate(maps, size, mode='bilinear', align_corners=False)
    torch.testing.assert_close(enlarge_maps(maps, size), expected, atol=1e-6, rtol=0)


def test_feature_smoothed_as_a_gaussian_does():
    """Weights at a border are those inside, divided by their sum."""
    maps, sigma = drawn(5, 6), 2.5
    large = F.interpolate(
        maps[None, None], (20, 30), mode='bilinear', align_corners=False
    )[0, 0]
    expected = torch.zeros(20, 30)
    for row in range(20):
        down = torch.tensor(
            [math.exp(-(((row - k) / sigma) ** 2) / 2) for k in range(20)]
        )
        for column in range(30):
            along = torch.tensor(
                [math.exp(-(((column - k) / sigma) ** 2) / 2) for k in range(30)]
            )
            weights = down[:, None] * along
            expected[row, column] = (weights * large).sum() / weights.sum()
    torch.testing.assert_close(
        enlarge_maps(maps, (20, 30), sigma), expected, atol=1e-5, rtol=0
    )


def test_feature_rows_sum_to_one():
    for sigma in (0.0, 4.0):
        sums = enlarging_matrix(28, 256, sigma).sum(dim=1)
        torch.testing.assert_close(sums, torch.ones(256), atol=1e-5, rtol=0)


def test_feature_top_mean():
    maps = torch.tensor([[1.0, 5.0, 3.0, 2.0], [0.0, 0.0, 8.0, 0.0]])
    assert top_mean(maps, 0.5).tolist() == [4.0, 4.0]
    # Never less than one; a share of 0.01 of 784 places is the highest 8.
    assert top_mean(maps).tolist() == [5.0, 8.0]
    places = torch.arange(784.0)
    assert float(top_mean(places, 0.01)) == sum(range(776, 784)) / 8
