"""A few points that stand for many, by hand and against the plain form."""

from __future__ import annotations

import pytest
import torch

from mmdefect.functional import coreset
from mmdefect.functional.coreset import (
    k_center_greedy,
    nearest,
    nearest_distance,
    prefix_distances,
)

LINE = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain_greedy(points, number, start=0):
    """As it is written down: every distance, again and again."""
    taken, wide = [start], points.double()
    far = (wide - wide[start]).norm(dim=1)
    while len(taken) < number:
        taken.append(int(far.argmax()))
        far = torch.minimum(far, (wide - wide[taken[-1]]).norm(dim=1))
    return taken


def test_smoke_every_point_is_near_one():
    points = drawn(200, 3)
    chosen = points[k_center_greedy(points, 20)]
    assert (
        nearest_distance(points, chosen).max()
        < nearest_distance(points, points[:20]).max()
    )


def test_feature_takes_the_farthest():
    # From 0 the farthest is 11; then 2 is 2 away, 10 and 1 are 1 away.
    assert k_center_greedy(LINE, 3).tolist() == [0, 4, 2]
    assert k_center_greedy(LINE, 2, start=3).tolist() == [3, 0]


@pytest.mark.parametrize('pool', [7, 64, 4096])
@pytest.mark.parametrize('block', [9, 512])
def test_feature_as_the_plain_form(monkeypatch, pool, block):
    """Clusters far from the origin; however many choose, however large a block is."""
    monkeypatch.setattr(coreset, '_POOL', pool)
    monkeypatch.setattr(coreset, '_BLOCK', block)
    points = drawn(500, 16) + 30 * drawn(500, 16, seed=1).sign() + 5
    for start in (0, 17):
        assert k_center_greedy(points, 120, start=start).tolist() == plain_greedy(
            points, 120, start
        )


def test_feature_a_prefix_is_the_smaller_choice():
    points = drawn(500, 8)
    whole = k_center_greedy(points, 100)
    for number in (1, 2, 33, 99):
        assert torch.equal(k_center_greedy(points, number), whole[:number])


def test_feature_no_more_than_there_are_and_none_twice():
    assert sorted(k_center_greedy(LINE, 9).tolist()) == [0, 1, 2, 3, 4]
    same = torch.ones(6, 3)
    assert sorted(k_center_greedy(same, 6).tolist()) == [0, 1, 2, 3, 4, 5]


def test_exception_nothing_to_choose():
    with pytest.raises(ValueError, match=r'^number=3 of 0 points'):
        k_center_greedy(torch.zeros(0, 2), 3)
    with pytest.raises(ValueError, match=r'^number=0 of 5 points'):
        k_center_greedy(LINE, 0)


class TestNearest:
    def test_feature_as_cdist(self):
        points, memory = drawn(1300, 24), drawn(300, 24, seed=1)
        expected = torch.cdist(
            points, memory, compute_mode='donot_use_mm_for_euclid_dist'
        ).min(dim=1)
        for squares in (None, memory.square().sum(dim=1)):
            distances, indices = nearest(points, memory, squares=squares)
            torch.testing.assert_close(distances, expected.values, atol=1e-5, rtol=0)
            assert torch.equal(indices, expected.indices)

    def test_feature_what_is_in_memory_is_at_no_distance(self):
        """Squares of far points would leave a rest of some digits."""
        memory = drawn(100, 24) + 50
        assert nearest_distance(memory[30:60], memory).tolist() == [0.0] * 30

    def test_feature_only_what_is_allowed(self):
        points, memory = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [5.0]])
        allowed = torch.tensor([[False, True], [False, False]])
        # The second point may be compared with none, and is with all.
        assert nearest(points, memory, allowed=allowed)[0].tolist() == [4.0, 1.0]

    def test_shape_no_points(self):
        distances, indices = nearest(torch.zeros(0, 2), torch.zeros(3, 2))
        assert distances.shape == indices.shape == (0,)


class TestPrefixes:
    def test_feature_as_one_prefix_after_the_other(self):
        points, memory, sizes = drawn(90, 6), drawn(40, 6, seed=1), [1, 7, 7, 40]
        found = prefix_distances(points, memory, sizes)
        for row, size in zip(found, sizes, strict=True):
            expected = nearest_distance(points, memory[:size])
            torch.testing.assert_close(row, expected, atol=1e-6, rtol=0)

    def test_feature_only_what_is_allowed(self):
        points, memory = torch.tensor([[1.0]]), torch.tensor([[0.0], [5.0]])
        allowed = torch.tensor([[False, True]])
        found = prefix_distances(points, memory, [1, 2], allowed=allowed)
        assert found.tolist() == [[1.0], [4.0]]
