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
    histogram_aupro,
    histogram_auroc,
    histogram_average_precision,
    histogram_f1_max,
    rank_histograms,
    score_histograms,
    weight_histogram,
)
from mmdefect.functional.ranking import (
    aupro,
    auroc,
    average_precision,
    f1_max,
    region_sizes,
)

PAIRS = [
    (histogram_auroc, auroc),
    (histogram_average_precision, average_precision),
    (histogram_f1_max, f1_max),
]


def random_case(seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(2000, generator=generator) < 0.2
    return torch.rand(2000, generator=generator) * 7 + labels, labels


def bins(*counts):
    return torch.tensor(counts, dtype=torch.int64)


def test_smoke() -> None:
    # Defects win 3 of 4 pairs against the lower bin and tie with 1 in their own.
    assert histogram_auroc(bins(3, 1), bins(0, 2)).item() == (3 + 0.5) / 4


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


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize(('of_histograms', 'of_scores'), PAIRS)
def test_feature_exact_for_rounded_scores(of_histograms, of_scores, seed) -> None:
    scores, labels = random_case(seed)
    counted = of_histograms(*score_histograms(half_codes(scores), labels))
    rounded = of_scores(scores.half().float(), labels)
    assert counted.dtype == torch.float64
    assert counted.item() == pytest.approx(rounded.item(), abs=1e-14)
    # 2000 scores, 11 bits: rounding makes ties.
    assert auroc(scores, labels) != auroc(scores.half().float(), labels)


def test_feature_histograms_count() -> None:
    codes, defects = torch.tensor([[4, 4], [0, 7]]), torch.tensor([[0, 1], [0, 2]])
    normals, found = score_histograms(codes, defects)
    assert normals.shape == found.shape == (NUM_CODES,)
    assert normals.dtype == found.dtype == torch.int64
    assert normals.nonzero().flatten().tolist() == [0, 4]
    assert found.nonzero().flatten().tolist() == [4, 7]
    assert normals[4] == found[4] == 1


def test_feature_counts_in_one_go_are_the_same() -> None:
    """Of an image with defects and of one without, added to what was there."""
    generator = torch.Generator().manual_seed(1)
    counts = torch.zeros(3, NUM_CODES, dtype=torch.int64)
    expected = torch.zeros_like(counts)
    for share in (0.3, 0.0, 1.0):
        regions = torch.randint(1, 4, (8, 9), generator=generator)
        regions *= torch.rand(8, 9, generator=generator) < share
        codes = half_codes(torch.rand(8, 9, generator=generator).round(decimals=1))
        expected[:2] += torch.stack(score_histograms(codes, regions))
        expected[2] += weight_histogram(codes, regions)
        found = codes[regions != 0]
        count_pixels(counts, codes.flatten(), found, region_sizes(regions))
        assert torch.equal(counts, expected)
    assert counts[:2].sum() == 3 * 72


@pytest.mark.parametrize('limit', [0.05, 0.3, 1.0])
def test_feature_overlap_of_rounded_maps(limit) -> None:
    generator = torch.Generator().manual_seed(3)
    regions = torch.zeros(3, 20, 20, dtype=torch.int32)
    regions[0, 2:9, 3:10], regions[0, 12:, 15:], regions[1, 5:6, 1:4] = 1, 2, 1
    maps = torch.rand(3, 20, 20, generator=generator) + 0.4 * (regions > 0)
    codes = half_codes(maps)
    weights = sum(weight_histogram(c, r) for c, r in zip(codes, regions, strict=True))
    normals, _ = score_histograms(codes, regions)
    expected = aupro(maps.half().float(), regions, limit).item()
    found = histogram_aupro(normals, weights, limit).item()
    assert 0 < found < 1
    assert found == pytest.approx(expected, abs=1e-10)


def test_feature_every_region_weighs_the_same() -> None:
    """Up to half a unit a pixel; the rounding of 1/3 may not drift."""
    for size in (1, 3, 7, 1000, 99999):
        regions = torch.ones(1, size, dtype=torch.int32)
        codes = torch.zeros(1, size, dtype=torch.int16)
        total = int(weight_histogram(codes, regions).sum())
        assert abs(total - REGION_WEIGHT) <= size / 2


def test_feature_large_counts_do_not_overflow() -> None:
    """Whole numbers below 2^63 pairs, floating point beyond."""
    normals, defects = bins(3 * 10**9, 10**9, 7), bins(5, 10**6, 10**8)
    won = 10**6 * (2 * 3 * 10**9 + 10**9) + 10**8 * (2 * 4 * 10**9 + 7)
    won += 5 * 3 * 10**9
    pairs = 2 * int(normals.sum()) * int(defects.sum())
    assert pairs < 2**63
    assert histogram_auroc(normals, defects).item() == float(Fraction(won, pairs))
    huge = bins(2**40, 2**40)
    assert histogram_auroc(huge, huge).item() == pytest.approx(0.5)
    assert histogram_auroc(bins(2**40, 0), bins(0, 2**40)).item() == 1
    assert histogram_average_precision(huge, bins(0, 2**40)).item() == 0.5
    assert histogram_f1_max(huge, bins(0, 2**40)).item() == pytest.approx(2 / 3)
    assert histogram_aupro(bins(2**40, 0), bins(0, 2**62)).item() == 1


def test_feature_one_label_is_undefined() -> None:
    none, some = bins(0, 0), bins(1, 2)
    functions = [pair[0] for pair in PAIRS] + [histogram_aupro]
    for function in functions:
        assert math.isnan(function(none, some))
        assert math.isnan(function(some, none))


@pytest.mark.parametrize('value', [-1e-6, -1e-30, float('nan'), -float('inf')])
def test_exception_negative_scores(value) -> None:
    with pytest.raises(ValueError, match=r'negative or NaN score .* from 0'):
        half_codes(torch.tensor([0.5, value]))


def test_exception_histograms() -> None:
    with pytest.raises(ValueError, match='int64 counts over the same codes'):
        rank_histograms(bins(1, 2), bins(1, 2, 3))
    with pytest.raises(ValueError, match=r'torch\.float32'):
        rank_histograms(bins(1, 2), torch.ones(2))
    with pytest.raises(ValueError, match=r'shapes \[\(1, 2\)\]'):
        rank_histograms(bins(1, 2)[None], bins(1, 2)[None])
    with pytest.raises(ValueError, match='fpr_limit 0'):
        histogram_aupro(bins(1, 2), bins(1, 2), 0)
