from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmdefect.converters.near_duplicates.calibration import (
    THRESHOLDS,
    Row,
    choose,
    make_sibling,
    sibling_maps,
    sweep,
)
from mmdefect.converters.near_duplicates.descriptors import read_grey
from mmdefect.converters.near_duplicates.similarity import (
    Pairs,
    similar_pairs,
    similarity,
)
from tests.converters.near_duplicates.conftest import Toy


def row(threshold: float, recall: float, largest: float) -> Row:
    return Row(threshold, 10, largest, recall, recall, 0.0, 0.5)


def test_smoke_toy_meets_both_goals(toy: Toy) -> None:
    sources, maps = sibling_maps(toy.paths, number=8, seed=0)
    rows = sweep(
        similar_pairs(toy.found.maps, THRESHOLDS[0]),
        toy.labels,
        sources=sources,
        siblings=similarity(maps, toy.found.maps),
        test=np.array(['test' in path.parts for path in toy.paths]),
    )
    assert [r.threshold for r in rows] == list(THRESHOLDS)
    chosen = choose(rows, largest=0.26)  # a part is a quarter of its class here
    assert chosen.threshold == THRESHOLDS[0]
    assert (chosen.recall, chosen.stray, chosen.clusters) == (1.0, 0.0, 8)
    assert chosen.leak == 1.0


def test_feature_sweep_by_hand() -> None:
    """Images 0 and 1 are one photograph, 2 another; two siblings of 0, one of 2."""
    pairs = Pairs(np.array([0, 1]), np.array([1, 2]), np.array([0.95, 0.6]))
    rows = sweep(
        pairs,
        np.array([0, 0, 1]),
        sources=np.array([0, 0, 2]),
        siblings=np.array([[0.97, 0.9, 0.2], [0.85, 0.92, 0.91], [0.1, 0.3, 0.5]]),
        test=np.array([False, True, True]),
        thresholds=(0.6, 0.9, 0.96),
    )
    assert [r.clusters for r in rows] == [1, 2, 3]
    assert [r.largest for r in rows] == [1.0, 1.0, 1.0]
    # At 0.9 the second sibling hangs on image 1 alone, and on image 2 too.
    assert [r.recall for r in rows] == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert [r.direct for r in rows] == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert [r.stray for r in rows] == pytest.approx([0, 1 / 3, 0])
    assert [r.leak for r in rows] == [1.0, 0.5, 0.0]


def test_feature_choose_the_lowest() -> None:
    rows = [row(0.8, 1, 0.4), row(0.9, 0.999, 0.1), row(0.95, 0.996, 0.05)]
    assert choose(rows).threshold == 0.9
    assert choose(rows[::-1]).threshold == 0.9


def test_exception_goals_conflict() -> None:
    rows = [row(0.8, 1.0, 0.4), row(0.9, 0.98, 0.1), row(0.95, 0.97, 0.05)]
    with pytest.raises(ValueError, match=r'the nearest is 0\.9 with 98\.0% and 10\.0%'):
        choose(rows)


def test_feature_sibling_changes(toy: Toy) -> None:
    image = read_grey(toy.paths[0])
    rng = np.random.default_rng(3)
    made = [make_sibling(image, rng) for _ in range(20)]
    assert {(m.shape, m.dtype.name) for m in made} == {((64, 64), 'uint8')}
    means = [m.mean() / image.mean() for m in made]
    assert min(means) < 0.9
    assert max(means) > 1.1
    # Undone, some are turned only and some mirrored: both orders of a corner mark.
    marked = np.zeros((65, 65), np.uint8)
    cv2.circle(marked, (40, 32), 5, 255, -1)
    cv2.circle(marked, (32, 48), 5, 120, -1)
    hands = set()
    for _ in range(20):
        sibling = make_sibling(marked, rng).astype(int)
        big = np.argwhere(sibling > 170).mean(0) - 32
        small = np.argwhere((sibling > 60) & (sibling < 150)).mean(0) - 32
        hands.add(bool(np.linalg.det([big, small]) > 0))
    assert hands == {True, False}


def test_feature_same_seed_same_siblings(toy: Toy) -> None:
    first, again, other = (
        sibling_maps(toy.paths, number=3, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
    assert len(set(first[0])) == 3


@pytest.mark.parametrize('number', [0, 33])
def test_exception_number_of_siblings(toy: Toy, number: int) -> None:
    with pytest.raises(ValueError, match=f'siblings={number}: expected 1 to 32'):
        sibling_maps(toy.paths, number=number, seed=0)
