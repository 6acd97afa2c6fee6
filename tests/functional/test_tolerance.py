"""Tolerance limits: what images certify, coverage, too few of them, bad input."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from mmdefect.functional.tolerance import (
    ToleranceLimit,
    certifiable_rate,
    images_needed,
    tolerance_limit,
)


@pytest.mark.parametrize(
    ('number', 'rate'),
    [(1, 0.95), (2, 0.776393), (20, 0.139108), (59, 0.049508), (150, 0.019773)],
)
def test_feature_certifiable_rates(number, rate) -> None:
    """1 - 0.05^(1/n); 59 images certify 5 %, 150 certify 2 %."""
    assert certifiable_rate(number) == pytest.approx(rate, abs=1e-6)
    assert certifiable_rate(number) == pytest.approx(1 - 0.05 ** (1 / number))


def test_feature_images_needed() -> None:
    """The fewest that certify a rate; one less does not."""
    rates = (0.5, 0.1, 0.05, 0.02, 0.01)
    assert [images_needed(rate) for rate in rates] == [5, 29, 59, 149, 299]
    assert images_needed(0.05, confidence=0.99) == 90
    assert images_needed(0.5, confidence=0.5) == 1  # an exact tie
    for rate in rates:
        needed = images_needed(rate)
        assert certifiable_rate(needed) <= rate < certifiable_rate(needed - 1)


@pytest.mark.parametrize(
    ('number', 'above'), [(59, 0), (92, 0), (93, 1), (123, 1), (124, 2), (153, 3)]
)
def test_feature_classical_numbers(number, above) -> None:
    """The 59, 93, 124, 153 of the 95/95 tables; the order of scores does not matter."""
    order = torch.randperm(number, generator=torch.Generator().manual_seed(number))
    limit = tolerance_limit(order.float(), rate=0.05, confidence=0.95)
    assert (limit.threshold, limit.certified) == (number - 1 - above, True)
    assert limit.number == number


@pytest.mark.parametrize(('number', 'rate'), [(100, 0.05), (400, 0.02)])
def test_feature_coverage(number, rate) -> None:
    """Of 2,000 drawn sets, 95 % give a threshold with at most the wanted rate.

    Scores are uniform, so that 1 - threshold is the true rate of false alarms.
    """
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(2000, number, generator=generator, dtype=torch.float64)
    limits = [tolerance_limit(scores, rate=rate, confidence=0.95) for scores in draws]
    held = sum(1 - limit.threshold <= rate for limit in limits) / len(limits)
    assert held >= 0.95
    # The score below would not hold: the threshold is the lowest.
    first = int((draws[0] < limits[0].threshold).sum())
    lower = draws.sort(dim=1).values[:, first - 1]
    assert (1 - lower <= rate).double().mean() < 0.95


def test_feature_large_numbers() -> None:
    """Twenty thousand images neither underflow nor take long."""
    limit = tolerance_limit(torch.arange(20000.0), rate=0.05)
    # Normal approximation of the binomial: 1000 - 1.645 * sqrt(950) = 949 above.
    assert limit.certified
    assert 19999 - limit.threshold == pytest.approx(949, abs=2)


@pytest.mark.parametrize(
    ('number', 'threshold'), [(1, 0.0), (4, 3.0), (19, 18.0), (39, 37.0), (58, 56.0)]
)
def test_feature_too_few_images(number, threshold) -> None:
    """Their quantile, marked as not certified, and what they do certify."""
    limit = tolerance_limit(torch.arange(float(number)))
    assert (limit.threshold, limit.certified) == (threshold, False)
    assert limit.certifiable == pytest.approx(1 - 0.05 ** (1 / number))


def test_feature_equal_scores() -> None:
    """Half of the images score alike: the threshold is one of their scores."""
    scores = torch.tensor([0.25] * 40 + [0.5] * 60)
    limit = tolerance_limit(scores)
    assert limit.threshold == 0.5
    assert not bool((scores > limit.threshold).any())


def test_feature_text() -> None:
    """One line that can be printed beside the threshold."""
    assert tolerance_limit(torch.rand(59)).text == '59 good images certify 5 % at 95 %'
    few = tolerance_limit(torch.rand(20), rate=0.02)
    assert few.text == (
        '20 good images certify 13.9 % at 95 %; 2 % is not certified: needs 149'
    )
    folded = replace(tolerance_limit(torch.rand(24)), certifiable=1.0).text
    assert folded == (
        '24 good images certify nothing, since each was learned in its turn; 5 % at '
        '95 % needs 59 that are not learned'
    )
    one = tolerance_limit(torch.rand(1)).text
    assert one.startswith('1 good image certifies 95 % at 95 %; 5 % is not certified')


def test_exception_bad_input() -> None:
    """No images, NaN, matrices, and shares out of range."""
    with pytest.raises(ValueError, match='number=0: expected at least one good image'):
        certifiable_rate(0)
    with pytest.raises(ValueError, match='confidence=1: expected a share between'):
        certifiable_rate(5, confidence=1)
    with pytest.raises(ValueError, match='rate=0: expected a share between 0 and 1'):
        images_needed(0)
    with pytest.raises(ValueError, match=r'rate=nan: expected a share between 0 and 1'):
        tolerance_limit(torch.rand(5), rate=math.nan)
    with pytest.raises(ValueError, match='0 scores, 0 of them NaN'):
        tolerance_limit(torch.rand(0))
    with pytest.raises(ValueError, match='2 scores, 1 of them NaN'):
        tolerance_limit(torch.tensor([0.5, math.nan]))
    with pytest.raises(ValueError, match=r'scores.shape=\(2, 3\)'):
        tolerance_limit(torch.rand(2, 3))


def test_shape_result() -> None:
    """Plain numbers, which a checkpoint holds without pickled classes."""
    limit = tolerance_limit(torch.rand(59, dtype=torch.float32))
    assert isinstance(limit, ToleranceLimit)
    assert type(limit.threshold) is float
    assert type(limit.certified) is bool
