"""Distances and chances: by hand, by scipy.stats, and how often chance alone alarms."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import stats

from mmdefect.line.drift import (
    NO_VALUE,
    binomial_p,
    clopper_pearson,
    kolmogorov_smirnov,
    quantiles,
    stability_index,
    windows,
)
from mmdefect.line.histogram import bin_of


def test_feature_stability_index_by_hand() -> None:
    """Of 101 and two halves: (90.5 - 50.5) / 101 * ln(90.5 / 10.5) = 0.8531."""
    counts = np.array([[50, 50], [90, 10]])
    found = stability_index(np.array([50, 50]), counts)
    assert found == pytest.approx([0, 0.853069], abs=1e-5)


def test_feature_bins_are_joined_to_ten_groups() -> None:
    """A thousand bins of one image each: no longer all noise."""
    random = np.random.default_rng(0)
    normal = np.ones(1000, int)
    same = random.multinomial(1000, np.full(1000, 1e-3), 20)
    # (10 - 1) / 1000: the reference is no draw
    assert stability_index(normal, same).mean() == pytest.approx(0.009, abs=0.002)
    # What lies beside all of the reference counts to the group at that end.
    beside = np.zeros((1, 1001), int)
    beside[0, -1] = 1000
    assert stability_index(np.append(normal, 0), beside)[0] > 5


def test_feature_kolmogorov_smirnov_is_that_of_scipy() -> None:
    """On whole numbers, where a bin is a value; the law of many images."""
    random = np.random.default_rng(0)
    normal = random.integers(0, 40, 300)
    days = [random.integers(0, 40, 80), random.integers(8, 48, 200)]
    counts = np.array([np.bincount(one, minlength=48) for one in days])
    distance, p = kolmogorov_smirnov(np.bincount(normal, minlength=48), counts)
    for number, one in enumerate(days):
        exact = stats.ks_2samp(normal, one, method='exact')
        assert distance[number] == pytest.approx(exact.statistic)
        effective = 300 * len(one) / (300 + len(one))
        law = stats.kstwobign.sf(np.sqrt(effective) * exact.statistic)
        assert p[number] == pytest.approx(law, rel=1e-9)
        assert p[number] >= exact.pvalue
    assert p[0] > 0.05
    assert p[1] < 0.01


def test_feature_clopper_pearson_is_that_of_scipy() -> None:
    for hits, number in ((0, 100), (3, 100), (100, 100)):
        exact = stats.binomtest(hits, number).proportion_ci(0.995, method='exact')
        found = clopper_pearson(hits, number, 0.005)
        assert found == pytest.approx((exact.low, exact.high))
    assert clopper_pearson(0, 0, 0.005) == (0, 1)


def test_feature_binomial_p_by_scipy() -> None:
    hits, numbers = np.array([0, 4, 30, 200]), np.array([100, 100, 100, 200])
    found = binomial_p(hits, numbers, (0.01, 0.05))
    above = stats.binom.sf(hits - 1, numbers, 0.05)
    below = stats.binom.cdf(hits, numbers, 0.01)
    assert found == pytest.approx(np.minimum(1, 2 * np.minimum(above, below)))
    assert found[1] == 1
    assert found[2] < 1e-10


def test_feature_chance_alone_alarms_less_than_stated() -> None:
    """1,000 lines of 30 days: Kolmogorov-Smirnov alone, at 1 % in 30 days.

    At most 10 lines with an alarm are expected. Half of the noise is the reference's,
    which the days share: they alarm together, so there are fewer such lines.
    """
    random = np.random.default_rng(0)
    shares = np.full(40, 1 / 40)
    alarmed = 0
    for _ in range(1000):
        normal = random.multinomial(60, shares)
        p = kolmogorov_smirnov(normal, random.multinomial(60, shares, 30))[1]
        alarmed += bool((p < 0.01 / 30).any())
    assert alarmed <= 10


def test_feature_windows_are_of_calendar_days() -> None:
    days = ['2026-11-01', '2026-11-02', '2026-11-05', '2026-11-06']
    counts = np.array([[1], [2], [4], [8]])
    assert windows(days, counts, 1).ravel().tolist() == [1, 2, 4, 8]
    assert windows(days, counts, 2).ravel().tolist() == [1, 3, 4, 12]
    assert windows(days, counts, 5).ravel().tolist() == [1, 3, 7, 14]


def test_feature_quantiles_to_a_bin() -> None:
    values = np.linspace(1, 101, 1001)
    numbers = [bin_of(value) for value in values]
    bins = sorted(set(numbers))
    counts = np.array([numbers.count(one) for one in bins])
    assert quantiles(bins, counts) == pytest.approx([6, 51, 96], rel=0.03)
    low, middle, high = quantiles([NO_VALUE, *bins], np.append(200, counts))
    assert np.isnan(low)
    assert (middle, high) == pytest.approx((41, 95), rel=0.03)
    assert np.isnan(quantiles([NO_VALUE], np.array([0]))).all()


def test_exception_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'scipy', None)
    with pytest.raises(ImportError, match=r'scipy .* pip install "mmdefect\[line\]"'):
        clopper_pearson(1, 2, 0.1)
