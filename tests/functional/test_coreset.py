"""A few points that stand for many, by hand."""

from __future__ import annotations

import pytest
import torch

from mmdefect.functional.coreset import k_center_greedy, nearest_distance

LINE = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])


def test_smoke_every_point_is_near_one():
    points = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    chosen = points[k_center_greedy(points, 20)]
    drawn = points[:20]
    assert (
        nearest_distance(points, chosen).max() < nearest_distance(points, drawn).max()
    )


def test_feature_takes_the_farthest():
    # From 0 the farthest is 11; then 2 is 2 away, 10 and 1 are 1 away.
    assert k_center_greedy(LINE, 3).tolist() == [0, 4, 2]
    assert k_center_greedy(LINE, 2, start=3).tolist() == [3, 0]


def test_feature_no_more_than_there_are():
    assert sorted(k_center_greedy(LINE, 9).tolist()) == [0, 1, 2, 3, 4]


def test_exception_nothing_to_choose():
    with pytest.raises(ValueError, match=r'^number=3 of 0 points'):
        k_center_greedy(torch.zeros(0, 2), 3)
    with pytest.raises(ValueError, match=r'^number=0 of 5 points'):
        k_center_greedy(LINE, 0)
