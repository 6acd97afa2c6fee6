from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from mmdefect.converters.near_duplicates.clusters import (
    connect,
    largest_share,
    leak,
    mixed_clusters,
)
from mmdefect.converters.near_duplicates.similarity import Pairs
from mmdefect.datasets.casting.clusters import class_of_clusters, crossing_clusters


def pairs(*edges: tuple[int, int, float]) -> Pairs:
    first, second, alike = zip(*edges, strict=True) if edges else ((), (), ())
    ends = (np.array(x, np.int64) for x in (first, second))
    return Pairs(*ends, np.array(alike, np.float32))


def test_feature_connect_by_hand() -> None:
    found = pairs((0, 3, 0.95), (3, 5, 0.91), (1, 2, 0.8), (2, 4, 0.9))
    assert connect(7, found, 0.9).tolist() == [0, 1, 2, 0, 2, 0, 3]
    assert connect(7, found, 0.8).tolist() == [0, 1, 1, 0, 1, 0, 2]
    assert connect(7, found, 0.99).tolist() == list(range(7))
    assert connect(3, pairs(), 0.5).tolist() == [0, 1, 2]


def test_feature_connect_long_chains() -> None:
    """The order of edges and of numbers along the chain do not matter."""
    rng = np.random.default_rng(0)
    chain = rng.permutation(1000)
    edges = [(min(a, b), max(a, b), 1.0) for a, b in pairwise(chain)]
    found = pairs(*[edges[i] for i in rng.permutation(len(edges))])
    assert set(connect(1000, found, 0.9)) == {0}
    cut = found._replace(similarity=np.where(found.first == chain[0], 0, 1.0))
    assert len(set(connect(1000, cut, 0.9))) in (1, 2)


def test_feature_connect_equals_a_search() -> None:
    rng = np.random.default_rng(1)
    ends = np.sort(rng.integers(0, 60, (45, 2)), axis=1)
    found = Pairs(ends[:, 0], ends[:, 1], rng.uniform(0, 1, 45).astype(np.float32))
    expected = np.arange(60)
    for a, b, alike in zip(*found, strict=True):
        if alike >= 0.4:
            expected[expected == expected[b]] = expected[a]
    clusters = connect(60, found, 0.4)
    same = clusters[:, None] == clusters[None]
    np.testing.assert_array_equal(same, expected[:, None] == expected[None])


def test_feature_measures_by_hand() -> None:
    clusters = np.array([0, 0, 0, 1, 1, 2, 2, 3])
    labels = np.array([0, 0, 1, 0, 0, 1, 1, 1])
    # Class 0: two images each in clusters 0 and 1 of four; class 1: two in 2 of four.
    assert largest_share(clusters, labels) == 0.5
    assert mixed_clusters(clusters, labels).tolist() == [0]
    assert class_of_clusters(clusters, labels).tolist() == [0, 0, 1, 1]
    test = np.array([1, 0, 0, 1, 1, 0, 0, 1], bool)
    # Of four test images one has a sibling in train.
    assert leak(clusters, test, ~test) == 0.25
    assert math.isnan(leak(clusters, np.zeros(8, bool), np.ones(8, bool)))


@pytest.mark.parametrize(
    ('subsets', 'crossing'),
    [(['train', 'train', 'val', 'test'], []), (['train', 'val', 'val', 'test'], [5])],
)
def test_feature_crossing(subsets: list[str], crossing: list[int]) -> None:
    assert crossing_clusters([5, 5, 7, 8], subsets) == crossing
