"""The memory suite on images so small that it takes seconds; no test asserts a time."""

from __future__ import annotations

import math

import pytest
import torch

from lab.benchmarks.memory import MemorySuite, one_at_a_time
from mmdefect.functional.coreset import k_center_greedy
from tests.conftest import REPO


@pytest.fixture(scope='module')
def suite() -> MemorySuite:
    return MemorySuite(
        configs=REPO / 'configs', pairs=2, image_size=32, images=6, points=1200
    )


def test_smoke_every_measurement(suite: MemorySuite) -> None:
    found: dict[str, float] = {}
    for measure in suite.comparisons.values():
        found |= measure(None)
    assert {
        *suite.comparisons,
        'mb_per_product',
        'add_product_cpu_seconds',
    } <= found.keys()
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    assert '1,000 of 1,200 points' in suite.notes


def test_feature_a_hundred_products_are_told_apart(suite: MemorySuite) -> None:
    """The images of the benchmark suit the first product, not one of the others."""
    (sample,) = suite._looking(100)()
    assert int(sample.pred_product) in (0, -1)
    assert len(suite.model(100).banks) == 100


def test_feature_the_loop_of_before() -> None:
    points = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one_at_a_time(points, 40), k_center_greedy(points, 40))
