"""Histogram metrics: exact for rounded scores, whole numbers, bad input."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from mmdefect.functional.histogram_ranking import (
    NUM_CODES,
    REGION_WEIGHT,
    count_pixels,
    half_codes,
    rank_histograms,
)
from mmdefect.functional.ranking import (
    aupro,
    auroc,
    average_precision,
    f1_max,
    region_sizes,
)


def random_case(seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(2000, generator=generator) < 0.2
    return torch.rand(2000, generator=generator) * 7 + labels, labels


def bins(*counts):
    return torch.tensor(counts, dtype=torch.int64)


def histograms(codes, regions):
    """Normal pixels, defect pixels and region weights of one image."""
    counts = torch.zeros(3, NUM_CODES, dtype=torch.int64)
    found = codes[regions != 0]
    count_pixels(counts, codes.flatten(), found, region_sizes(regions))
    return counts


def test_feature_codes_are_ranks() -> None:
    """Every float16 from 0 on, in order; what is above the largest is clamped."""
    every = torch.arange(NUM_CODES, dtype=torch.int16).view(torch.float16).float()
    assert every[-1] == 65504
    assert torch.equal(half_codes(every), torch.arange(NUM_CODES, dtype=torch.int16))
    special = torch.tensor([0.0, -0.0, 1.0, 65519.0, 65520.0, 1e30, float('inf')])
    top = NUM_CODES - 1
    assert half_codes(special).tolist() == [0, 0, 15360, top, top, top, top]
    assert half_codes(special[1:3]).tolist() == [0, 15360]
    assert half_codes(torch.rand(2, 3, 4)).shape == (2, 3, 4)
    assert half_codes(torch.rand(0)).shape == (0,)
    given = torch.tensor([-0.0, 1.0], dtype=torch.float16)
    assert half_codes(given).tolist() == [0, 15360]
    assert math.copysign(1, given[0].item()) == -1  # nothing is changed in place


@pytest.mark.parametrize('seed', range(2))
def test_feature_exact_for_rounded_scores(seed) -> None:
    scores, labels = random_case(seed)
    rounded = scores.half().float()
    ranking = rank_histograms(*histograms(half_codes(scores), labels.int())[:2])
    for counted, metric in (
        (ranking.auroc(), auroc),
        (ranking.average_precision(), average_precision),
        (ranking.f1_max(), f1_max),
    ):
        assert counted.dtype == torch.float64
        assert counted.item() == pytest.approx(
            metric(rounded, labels).item(), abs=1e-14
        )
    # 2000 scores, 11 bits: rounding makes ties.
    assert auroc(scores, labels) != auroc(rounded, labels)


def test_feature_histograms_count() -> None:
    """Defects and their regions apart from normal pixels, added to what was there."""
    codes, regions = torch.tensor([[4, 4], [0, 7]]), torch.tensor([[0, 1], [0, 2]])
    counts = histograms(codes, regions)
    expected = torch.zeros_like(counts)
    expected[0, [0, 4]] = expected[1, [4, 7]] = 1
    expected[2, [4, 7]] = REGION_WEIGHT
    assert torch.equal(counts, expected)
    none = codes.new_zeros(0)
    count_pixels(counts, codes.flatten(), none, none)  # an image without defects
    expected[0, [0, 7]] += 1
    expected[0, 4] += 2
    assert torch.equal(counts, expected)


@pytest.mark.parametrize('limit', [0.05, 0.3, 1.0])
def test_feature_overlap_of_rounded_maps(limit) -> None:
    generator = torch.Generator().manual_seed(3)
    regions = torch.zeros(3, 20, 20, dtype=torch.int32)
    regions[0, 2:9, 3:10], regions[0, 12:, 15:], regions[1, 5:6, 1:4] = 1, 2, 1
    maps = torch.rand(3, 20, 20, generator=generator) + 0.4 * (regions > 0)
    codes = half_codes(maps)
    counts = sum(histograms(c, r) for c, r in zip(codes, regions, strict=True))
    expected = aupro(maps.half().float(), regions, limit).item()
    found = rank_histograms(*counts).aupro(limit).item()
    assert 0 < found < 1
    assert found == pytest.approx(expected, abs=1e-10)


def test_feature_every_region_weighs_the_same() -> None:
    """Up to half a unit a pixel; the rounding of 1/3 may not drift."""
    for size in (1, 3, 7, 1000, 99999):
        regions = torch.ones(1, size, dtype=torch.int32)
        codes = torch.zeros(1, size, dtype=torch.int16)
        total = int(histograms(codes, regions)[2].sum())
        assert abs(total - REGION_WEIGHT) <= size / 2


def test_feature_large_counts_do_not_overflow() -> None:
    """Whole numbers below 2^63 pairs, floating point beyond."""
    normals, defects = bins(3 * 10**9, 10**9, 7), bins(5, 10**6, 10**8)
    won = 10**6 * (2 * 3 * 10**9 + 10**9) + 10**8 * (2 * 4 * 10**9 + 7)
    won += 5 * 3 * 10**9
    pairs = 2 * int(normals.sum()) * int(defects.sum())
    assert pairs < 2**63
    found = rank_histograms(normals, defects).auroc().item()
    assert found == float(Fraction(won, pairs))
    huge = bins(2**40, 2**40)
    assert rank_histograms(huge, huge).auroc().item() == pytest.approx(0.5)
    apart = rank_histograms(bins(2**40, 0), bins(0, 2**40), bins(0, 2**62))
    assert apart.auroc().item() == apart.aupro().item() == 1
    mixed = rank_histograms(huge, bins(0, 2**40))
    assert mixed.average_precision().item() == 0.5
    assert mixed.f1_max().item() == pytest.approx(2 / 3)


def test_feature_one_label_is_undefined() -> None:
    none, some = bins(0, 0), bins(1, 2)
    for pair in ((none, some), (some, none)):
        found = rank_histograms(*pair, some)
        for value in (
            found.auroc(),
            found.average_precision(),
            found.f1_max(),
            found.aupro(),
        ):
            assert math.isnan(value)


@pytest.mark.parametrize('value', [-1e-6, -1e-30, float('nan'), -float('inf')])
def test_exception_negative_scores(value) -> None:
    with pytest.raises(ValueError, match=r'below 0 or NaN: expected at least 0'):
        half_codes(torch.tensor([0.5, value]))


def test_exception_histograms() -> None:
    with pytest.raises(ValueError, match=r'expected int64 counts of shape \(B,\)'):
        rank_histograms(bins(1, 2), bins(1, 2, 3))
    with pytest.raises(ValueError, match=r'torch\.float32'):
        rank_histograms(bins(1, 2), torch.ones(2))
    with pytest.raises(ValueError, match=r'shapes \[\(1, 2\)\]'):
        rank_histograms(bins(1, 2)[None], bins(1, 2)[None])
