"""Ranking metrics: golden values, ties, brute force, bounds, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
)

from mmdefect.functional.ranking import (
    aupro,
    auroc,
    average_precision,
    f1_max,
    rank_scores,
)

METRICS = [auroc, average_precision, f1_max]
# scikit-learn 1.9.1:
#   rng = np.random.default_rng(0)
#   scores = rng.integers(0, 40, 500) / 8
#   labels = rng.random(500) < 0.1 + 0.02 * scores
#   roc_auc_score(labels, scores), average_precision_score(labels, scores)
#   p, r, _ = precision_recall_curve(labels, scores); (2 * p * r / (p + r)).max()
GOLDEN = {
    auroc: 0.6031965345980058,
    average_precision: 0.1738775299817545,
    f1_max: 0.2751322751322751,
}


def golden_case():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 40, 500) / 8
    labels = rng.random(500) < 0.1 + 0.02 * scores
    return torch.from_numpy(scores), torch.from_numpy(labels)


def scikit_learns(scores, labels):
    precision, recall, _ = precision_recall_curve(labels, scores)
    best = (2 * precision * recall / (precision + recall).clip(1e-9)).max()
    area = roc_auc_score(labels, scores)
    return [area, average_precision_score(labels, scores), best]


def brute_force_aupro(maps, regions, limit):
    """The overlap curve at every score that occurs, point by point."""
    maps, regions = maps.double().numpy(), regions.numpy()
    masks = [
        (i, regions[i] == k)
        for i in range(len(maps))
        for k in set(regions[i].flat) - {0}
    ]
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        found = maps >= threshold
        rates.append(found[regions == 0].mean())
        overlaps.append(np.mean([found[i][mask].mean() for i, mask in masks]))
    inside = np.array(rates) <= limit
    x = np.append(np.array(rates)[inside], limit)
    # The last point on the limit, or the line across it.
    end = overlaps[inside.sum() - 1]
    if not inside.all() and rates[inside.sum() - 1] < limit:
        end = np.interp(limit, rates, overlaps)
    y = np.append(np.array(overlaps)[inside], end)
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / limit)


def random_maps(seed, levels):
    """Four maps of 12 x 10 with up to three regions each, one image without any."""
    generator = torch.Generator().manual_seed(seed)
    regions = torch.zeros(4, 12, 10, dtype=torch.int32)
    regions[0, 1:4, 2:5], regions[0, 6:7, 0:8], regions[0, 9:, 9:] = 1, 2, 3
    regions[1, 0:6, 0:3] = 1
    regions[2, 5, 5], regions[2, 8:11, 2:9] = 7, 9
    maps = torch.rand(4, 12, 10, generator=generator) + 0.3 * (regions > 0)
    return (maps * levels).round() / levels, regions


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize('metric', METRICS)
def test_feature_golden_values(metric, dtype) -> None:
    scores, labels = golden_case()
    found = metric(scores.to(dtype), labels)
    assert found.dtype == torch.float64
    assert found.shape == ()
    assert found.item() == pytest.approx(GOLDEN[metric], abs=1e-12)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('shift', [2.5, 5.0])
@pytest.mark.parametrize('metric', METRICS)
def test_feature_negative_scores_rank_too(metric, shift, dtype) -> None:
    """Also -0 and 0, which are equal and differ in their bits."""
    scores, labels = golden_case()
    scores = (scores - shift).to(dtype)
    scores[(scores == 0) & (torch.arange(500) % 2 == 0)] = -0.0
    assert metric(scores, labels).item() == pytest.approx(GOLDEN[metric], abs=1e-12)


def test_feature_minus_zero_among_non_negative_scores() -> None:
    scores = torch.tensor([0.0, -0.0, 0.0, -0.0])
    assert auroc(scores, torch.tensor([0, 0, 1, 1])).item() == 0.5


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('levels', [3, 20, 10000])
def test_feature_equals_scikit_learn(seed, levels) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = (torch.rand(80, generator=generator) * levels).round() / levels
    labels = torch.rand(80, generator=generator) < 0.3
    found = [metric(scores, labels).item() for metric in METRICS]
    assert found == pytest.approx(scikit_learns(scores, labels), abs=1e-6)


@pytest.mark.parametrize('value', [0.0, 0.7, 3e38, float('inf'), -2.0])
def test_feature_constant_scores(value) -> None:
    scores, labels = torch.full((10,), value), torch.arange(10) < 2
    assert auroc(scores, labels).item() == 0.5
    assert average_precision(scores, labels).item() == 0.2
    assert f1_max(scores, labels).item() == pytest.approx(1 / 3)


def test_feature_perfect_and_reversed() -> None:
    """Nothing is flipped below 0.5."""
    scores, labels = torch.arange(10.0), torch.arange(10) >= 7
    assert [metric(scores, labels).item() for metric in METRICS] == [1, 1, 1]
    assert auroc(-scores, labels).item() == 0
    assert auroc(9 - scores, labels).item() == 0


@pytest.mark.parametrize('label', [0, 1])
@pytest.mark.parametrize('metric', METRICS)
def test_feature_one_label_is_undefined(metric, label) -> None:
    assert math.isnan(metric(torch.rand(5), torch.full((5,), label)))
    assert math.isnan(metric(torch.rand(0), torch.zeros(0)))


def test_feature_extremes_of_float32_keep_their_order() -> None:
    scores = torch.tensor([0.0, 1e-45, 1e-38, 1.0, 1 + 2**-23, 3.4e38, float('inf')])
    for k in range(1, 7):
        assert auroc(scores, torch.arange(7) >= k).item() == 1
        assert auroc(-scores, torch.arange(7) >= k).item() == 0


def test_feature_strided_scores() -> None:
    scores, labels = golden_case()
    wide = torch.stack([scores.float(), torch.rand(500)], dim=1)
    assert auroc(wide[:, 0], labels).item() == pytest.approx(GOLDEN[auroc], abs=1e-12)


def test_feature_inputs_stay_as_they_were() -> None:
    scores = torch.rand(50)
    before = scores.clone()
    auroc(scores, torch.arange(50) % 3)
    assert torch.equal(scores, before)


def test_feature_aupro_by_hand() -> None:
    """Region 1 of two pixels is found before any normal pixel, region 2 after all.

    So the overlap is 1/2 from the beginning, whatever the limit; as a share of defect
    pixels it would be 2/3.
    """
    maps = torch.tensor([[[0.9, 0.8, 0.1, 0.5, 0.4, 0.3]]])
    regions = torch.tensor([[[1, 1, 2, 0, 0, 0]]])
    for limit in (0.05, 0.3, 1.0):
        assert aupro(maps, regions, limit).item() == pytest.approx(0.5)
    # Now region 2 comes after the first of three normal pixels: 1 from there on.
    maps[0, 0, 2] = 0.45
    assert aupro(maps, regions, 0.3).item() == pytest.approx(0.5)
    assert aupro(maps, regions, 0.5).item() == pytest.approx(2 / 3)
    assert aupro(maps, regions, 1.0).item() == pytest.approx(0.5 / 3 + 2 / 3)


@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize('levels', [2, 8, 100000])
@pytest.mark.parametrize('limit', [0.05, 0.3, 1.0])
def test_feature_aupro_equals_brute_force(seed, levels, limit) -> None:
    maps, regions = random_maps(seed, levels)
    found = aupro(maps, regions, limit).item()
    assert found == pytest.approx(brute_force_aupro(maps, regions, limit), abs=1e-9)
    assert 0 < found < 1


def test_feature_aupro_numbers_may_repeat_or_be_unique() -> None:
    maps, regions = random_maps(1, 50)
    unique = regions + (regions > 0) * 1000 * torch.arange(4)[:, None, None]
    assert aupro(maps, unique).item() == aupro(maps, regions).item()
    # One region across images would weigh otherwise.
    assert aupro(maps.flatten(1)[None], regions.flatten(1)[None]) != aupro(
        maps, regions
    )


def test_feature_aupro_bounds() -> None:
    _, regions = random_maps(0, 8)
    perfect = (regions > 0).float()
    for limit in (0.01, 0.3, 1.0):
        assert aupro(perfect, regions, limit).item() == 1
        assert aupro(1 - perfect, regions, limit).item() == 0
        constant = aupro(torch.full_like(perfect, 0.3), regions, limit)
        assert constant.item() == pytest.approx(limit / 2)


def test_feature_aupro_without_regions_or_without_normal_pixels() -> None:
    maps = torch.rand(2, 3, 3)
    for value in (0, 1):
        assert math.isnan(aupro(maps, torch.full((2, 3, 3), value)))


def test_exception_shapes_and_types() -> None:
    with pytest.raises(ValueError, match=r'shape=\(3,\), labels.shape=\(4,\)'):
        auroc(torch.rand(3), torch.ones(4))
    with pytest.raises(ValueError, match='flatten them'):
        average_precision(torch.rand(2, 2), torch.ones(2, 2))
    with pytest.raises(ValueError, match=r'dtype=torch.int64: expected a floating'):
        f1_max(torch.arange(3), torch.ones(3))
    with pytest.raises(ValueError, match=r'expected \(N, H, W\) of both'):
        aupro(torch.rand(3, 3), torch.ones(3, 3))
    with pytest.raises(ValueError, match=r'\(1, 3, 3\), regions.shape=\(1, 2, 3\)'):
        aupro(torch.rand(1, 3, 3), torch.ones(1, 2, 3))


@pytest.mark.parametrize('metric', METRICS)
def test_exception_nan_scores(metric) -> None:
    scores = torch.tensor([0.1, float('nan'), 0.3, float('nan')])
    with pytest.raises(ValueError, match='2 of 4 scores are NaN'):
        metric(scores, torch.tensor([0, 1, 0, 1]))


@pytest.mark.parametrize('limit', [0.0, -0.1, 1.01, float('nan')])
def test_exception_limit(limit) -> None:
    with pytest.raises(ValueError, match=r'fpr_limit=.* at most 1'):
        aupro(torch.rand(1, 2, 2), torch.ones(1, 2, 2, dtype=torch.int32), limit)


def test_exception_overlap_needs_weights() -> None:
    with pytest.raises(ValueError, match='weights=None'):
        rank_scores(torch.rand(4), torch.arange(4) % 2).aupro()
