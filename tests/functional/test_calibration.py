"""Calibration: by hand, by brute force, by scikit-learn, and where nothing is best."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import log_loss

from mmdefect.functional.calibration import (
    cost_threshold,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
)


def noisy(number: int = 400, classes: int = 2, scale: float = 3.0):
    """Labels drawn from softmax(z), and logits scale * z: the best T is near scale."""
    generator = torch.Generator().manual_seed(0)
    true = 1.5 * torch.randn(number, classes, generator=generator)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    return scale * true, labels


@pytest.mark.parametrize('classes', [2, 4])
def test_feature_nll_equals_scikit_learn(classes) -> None:
    logits, labels = noisy(classes=classes)
    probabilities = logits.double().softmax(1)
    found = negative_log_likelihood(probabilities, labels).item()
    assert found == pytest.approx(log_loss(labels, probabilities.numpy()), rel=1e-9)


def test_feature_nll_of_a_hopeless_image_is_finite() -> None:
    found = negative_log_likelihood(torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    assert found.item() == pytest.approx(126 * math.log(2))


def test_feature_ece_by_hand() -> None:
    """Two bins of five: 0.85 and 0.9, one of them wrong; 0.55, right."""
    probabilities = torch.tensor(
        [[0.85, 0.15], [0.1, 0.9], [0.55, 0.45]], dtype=torch.float64
    )
    labels = torch.tensor([0, 0, 0])
    found = expected_calibration_error(probabilities, labels, bins=5)
    assert found.item() == pytest.approx((abs(0.85 + 0.9 - 1) + abs(0.55 - 1)) / 3)
    # In one bin they make up for each other: 2 of 3 right, 2.3 claimed.
    one = expected_calibration_error(probabilities, labels, bins=1)
    assert one.item() == pytest.approx((2.3 - 2) / 3)


def test_feature_ece_bins_include_their_upper_end() -> None:
    """0.5 is in the bin that ends at 0.5, 1.0 in the last one."""
    probabilities = torch.tensor([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]])
    labels = torch.tensor([0, 1, 0])
    found = expected_calibration_error(probabilities, labels, bins=2)
    # (0, 0.5]: 0.5 claimed, right. (0.5, 1]: 1.75 claimed, 1 of 2 right.
    assert found.item() == pytest.approx((0.5 + 0.75) / 3)


@pytest.mark.parametrize('classes', [2, 4])
@pytest.mark.parametrize('scale', [0.2, 1.0, 3.0, 9.0])
def test_feature_temperature_is_the_minimum(scale, classes) -> None:
    logits, labels = noisy(classes=classes, scale=scale)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(scale, rel=0.25)

    def loss(temperature: float) -> float:
        scaled = (logits.double() / temperature).softmax(1)
        return negative_log_likelihood(scaled, labels).item()

    grid = [found * factor for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 2)]
    assert all(loss(found) < loss(other) for other in grid)
    # Scaling the logits scales the temperature with them.
    assert fit_temperature(2 * logits, labels) == pytest.approx(2 * found, rel=1e-6)


def test_feature_temperature_of_far_off_logits() -> None:
    """The first Newton steps leave the bracket there."""
    logits, labels = noisy(scale=18.0)
    assert fit_temperature(logits, labels) == pytest.approx(18, rel=0.25)
    assert math.isnan(fit_temperature(10 * logits, labels))
    wide = fit_temperature(10 * logits, labels, limits=(1e-3, 1e3))
    assert wide == pytest.approx(180, rel=0.25)


def test_feature_temperature_where_none_is_best() -> None:
    right = torch.tensor([[2.0, -1], [0.5, 1.5]])
    labels = torch.tensor([0, 1])
    assert math.isnan(fit_temperature(right, labels))  # colder is always better
    assert math.isnan(fit_temperature(-right, labels))  # warmer is always better
    assert math.isnan(fit_temperature(torch.zeros(2, 2), labels))
    assert math.isnan(fit_temperature(torch.zeros(0, 2), torch.zeros(0).long()))


def cost(scores, labels, threshold, miss, alarm) -> float:
    called = scores >= threshold
    defective = labels != 0
    return float(
        miss * (~called & defective).sum() + alarm * (called & ~defective).sum()
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('costs', [(1, 1), (10, 1), (1, 10), (0.3, 0.2)])
@pytest.mark.parametrize('seed', range(2))
def test_feature_threshold_costs_least(seed, costs, dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(60, generator=generator) < 0.4).long()
    scores = 0.3 * labels + 0.7 * torch.rand(60, generator=generator)
    scores = ((16 * scores).round() / 16).to(dtype)  # with ties
    found = cost_threshold(scores, labels, *costs)
    assert float(torch.tensor(found, dtype=dtype)) == found
    tried = [cost(scores, labels, t, *costs) for t in torch.linspace(0, 1, 97)]
    assert cost(scores, labels, found, *costs) == pytest.approx(min(tried))


def test_feature_threshold_stays_where_theory_puts_it() -> None:
    """Any threshold in (0.2, 0.9] makes no error, so the costs alone decide."""
    scores = torch.tensor([0.1, 0.2, 0.9, 0.95], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    assert cost_threshold(scores, labels, 1, 1) == 0.5
    assert cost_threshold(scores, labels, 3, 1) == 0.25
    # 1 / 20 would raise alarms: the middle of the gap leaves most room.
    assert cost_threshold(scores, labels, 19, 1) == pytest.approx(0.55)


@pytest.mark.parametrize(
    ('labels', 'threshold'),
    [
        ([1, 0, 0], 1 / 11),  # a miss is dear, so all are called defective
        ([0, 0, 1], 0.7),  # no error: the middle of the gap
        ([0, 1, 0], 0.4),  # one false alarm, above 0.2
    ],
)
def test_feature_threshold_next_to_the_ends(labels, threshold) -> None:
    scores = torch.tensor([0.2, 0.6, 0.8], dtype=torch.float64)
    found = cost_threshold(scores, torch.tensor(labels), 10, 1)
    assert found == pytest.approx(threshold)


def test_feature_threshold_of_scores_at_the_ends() -> None:
    zeros = torch.tensor([0.0, 0.0, 1.0, 1.0])
    # A miss is dear: everything is called defective, also a score of 0.
    assert cost_threshold(zeros, torch.tensor([1, 0, 0, 1]), 10, 1) == 0.0
    # A false alarm is dear, yet no threshold lies above 1.
    found = cost_threshold(zeros, torch.tensor([1, 0, 0, 1]), 1, 10)
    assert 0 < found <= 1


def test_feature_threshold_between_neighbours() -> None:
    """Two floats without one in between: the threshold is the upper one."""
    low = torch.tensor(0.7)
    high = torch.nextafter(low, torch.tensor(1.0))
    found = cost_threshold(torch.stack([low, high]), torch.tensor([0, 1]), 1, 1)
    assert found == high.item()


def test_feature_threshold_needs_both_labels() -> None:
    assert math.isnan(cost_threshold(torch.ones(3), torch.ones(3), 1, 1))
    assert math.isnan(cost_threshold(torch.ones(3), torch.zeros(3), 1, 1))
    assert math.isnan(cost_threshold(torch.ones(0), torch.zeros(0), 1, 1))


def test_exception() -> None:
    logits, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    for function in (
        negative_log_likelihood,
        expected_calibration_error,
        fit_temperature,
    ):
        with pytest.raises(ValueError, match=r'labels.shape=\(3,\)'):
            function(logits, torch.zeros(3).long())
        with pytest.raises(ValueError, match='labels from 0 to 2'):
            function(logits, torch.tensor([0, 2]))
    with pytest.raises(ValueError, match='bins=0'):
        expected_calibration_error(logits, labels, bins=0)
    with pytest.raises(ValueError, match='logits with NaN'):
        fit_temperature(torch.full((2, 2), math.nan), labels)
    with pytest.raises(ValueError, match='0 < low < high'):
        fit_temperature(logits, labels, limits=(2, 1))
    for wrong in (1.5, math.nan):
        with pytest.raises(ValueError, match='outside'):
            cost_threshold(torch.tensor([0.5, wrong]), labels, 1, 1)
    with pytest.raises(ValueError, match=r'scores.shape=\(2, 2\)'):
        cost_threshold(logits, labels, 1, 1)
    for costs in ((0, 1), (1, math.inf)):
        with pytest.raises(ValueError, match='expected finite numbers above 0'):
            cost_threshold(torch.ones(2), labels, *costs)
