"""Which network is taken: published scores, hand-made lists, bad input."""

from __future__ import annotations

import math

import pytest

from mmdefect.functional.decision import (
    ftl_fraction,
    ftl_published,
    one_standard_error,
    pareto_front,
    weighted,
)

# References as the authors typed them: F1 of VGG16 is 0.9435 elsewhere, and AlexNet has
# 3,747,584 parameters.
VGG16 = {
    'reference_accuracy': 94.6,
    'reference_f1': 0.942,
    'reference_parameters': 14_714_688,
}
ALEXNET = {
    'reference_accuracy': 94.2,
    'reference_f1': 0.943,
    'reference_parameters': 4_747_584,
}
NAN = float('nan')


# Recorded by the authors of FTL.
@pytest.mark.parametrize(
    ('candidate', 'reference', 'score'),
    [
        ((97.4, 0.973843058350101, 992_359), VGG16, 2.96572436897008),
        ((95.9, 0.959921798631476, 86_871), ALEXNET, 2.99925523606658),
    ],
    ids=['vgg16-0.20', 'alexnet-0.15'],
)
def test_feature_published_scores(candidate, reference, score) -> None:
    assert ftl_published(*candidate, **reference) == pytest.approx(score, abs=1e-9)


def test_feature_percent_turns_the_accuracy_term_around() -> None:
    """As published a better accuracy costs; in fractions it pays."""
    f1, parameters = VGG16['reference_f1'], VGG16['reference_parameters']
    published = [ftl_published(a, f1, parameters, **VGG16) for a in (50.0, 94.6, 99.0)]
    assert published == sorted(published, reverse=True)
    assert published[0] - published[-1] < 0.02
    fractions = {**VGG16, 'reference_accuracy': 0.946}
    fine = [ftl_fraction(a, f1, parameters, **fractions) for a in (0.5, 0.946, 0.99)]
    assert fine == sorted(fine)
    assert fine[-1] - fine[0] > 0.9


def test_feature_each_term() -> None:
    """Twice as small: half a point more; F1 in proportion."""
    reference = {
        'reference_accuracy': 0.8,
        'reference_f1': 0.5,
        'reference_parameters': 100,
    }
    assert ftl_fraction(0.8, 0.5, 50, **reference) == pytest.approx(2.5)
    assert ftl_fraction(0.8, 0.25, 100, **reference) == pytest.approx(1.5)
    # (0.4 / 0.8 - 0.4) / 0.6 = 1 / 6
    assert ftl_fraction(0.4, 0.5, 100, **reference) == pytest.approx(1 + 1 / 6)


def test_feature_pareto_front() -> None:
    cost = [10, 5, 5, 7, 1, 20, 5]
    accuracy = [0.9, 0.8, 0.7, 0.8, 0.5, 0.9, 0.8]
    # 3 costs more than 1 and is no better, 5 than 0; 6 equals 1, the first stays.
    assert pareto_front(cost, accuracy) == [4, 1, 0]
    assert pareto_front([1], [0.0]) == [0]
    assert pareto_front([2, 1], [0.5, 0.5]) == [1]


def test_feature_one_standard_error() -> None:
    """Best 0.9 on 100 images: an error of 0.03, so 0.87 is good enough and 0.86 not."""
    cost = [1, 2, 3, 4]
    assert one_standard_error(cost, [0.86, 0.88, 0.89, 0.9], 100) == 1
    assert one_standard_error(cost, [0.86, 0.865, 0.869, 0.9], 100) == 3
    # Fewer images, a larger error: 0.0949 on 10; more, a smaller one: 0.003 on 10,000.
    assert one_standard_error(cost, [0.86, 0.88, 0.89, 0.9], 10) == 0
    assert one_standard_error(cost, [0.86, 0.88, 0.89, 0.9], 10_000) == 3


def test_feature_one_standard_error_without_error() -> None:
    """A perfect network has none: the cheapest perfect one."""
    assert one_standard_error([3, 1, 2, 4], [1.0, 0.99, 1.0, 1.0], 50) == 2


def test_feature_weighted() -> None:
    whole = {'accuracy': 0.8, 'f1': 0.5, 'parameters': 100.0, 'latency_ms': 10.0}
    small = {'accuracy': 0.6, 'f1': 0.5, 'parameters': 25.0, 'latency_ms': 20.0}
    assert weighted(small, whole, {'accuracy': 1.0}) == pytest.approx(0.75)
    assert weighted(small, whole, {'parameters': 2.0}) == pytest.approx(1.5)
    # Slower than the whole network: below 0.
    assert weighted(small, whole, {'latency_ms': 1.0}) == pytest.approx(-1)
    assert weighted(small, whole, {'f1': 1.0, 'parameters': 0.1}) == pytest.approx(
        1.075
    )
    assert weighted(whole, whole, {'accuracy': 3, 'latency_ms': 5}) == 3


def test_exception_fractions_in_place_of_percent() -> None:
    with pytest.raises(ValueError, match=r'=0\.974, .*=0\.946: .* use ftl_fraction'):
        ftl_published(0.974, 0.97, 10, **{**VGG16, 'reference_accuracy': 0.946})


@pytest.mark.parametrize(
    'wrong',
    [
        {'accuracy': 97.0},
        {'accuracy': -0.1},
        {'accuracy': NAN},
        {'f1': 1.1},
        {'parameters': -1},
        {'parameters': NAN},
        {'reference_accuracy': 0.0},
        {'reference_f1': 0.0},
        {'reference_parameters': 0},
    ],
    ids=str,
)
def test_exception_out_of_range(wrong) -> None:
    fine = {
        'accuracy': 0.9,
        'f1': 0.9,
        'parameters': 5,
        'reference_accuracy': 0.9,
        'reference_f1': 0.9,
        'reference_parameters': 10,
    }
    assert math.isfinite(ftl_fraction(**fine))
    with pytest.raises(ValueError, match='expected accuracies up to 1, F1 up to 1'):
        ftl_fraction(**{**fine, **wrong})


def test_exception_percent_out_of_range() -> None:
    with pytest.raises(ValueError, match='expected accuracies up to 100'):
        ftl_published(100.1, 0.9, 5, **VGG16)
    with pytest.raises(ValueError, match='divides by 0'):
        ftl_published(90.0, 0.9, 5, **{**VGG16, 'reference_accuracy': 2.0})


@pytest.mark.parametrize(
    'rule', [pareto_front, lambda c, a: one_standard_error(c, a, 9)]
)
def test_exception_lists(rule) -> None:
    with pytest.raises(ValueError, match='0 costs and 0 accuracies'):
        rule([], [])
    with pytest.raises(ValueError, match='2 costs and 1 accuracies'):
        rule([1, 2], [0.5])
    for wrong in (([1, NAN], [0.5, 0.5]), ([1, 2], [0.5, NAN])):
        with pytest.raises(ValueError, match='of NaN'):
            rule(*wrong)


def test_exception_standard_error() -> None:
    with pytest.raises(ValueError, match='images=0: expected'):
        one_standard_error([1], [0.5], 0)
    with pytest.raises(ValueError, match=r'accuracy=94, .* expected fractions'):
        one_standard_error([1], [94.0], 10)


def test_exception_weights() -> None:
    numbers = {'accuracy': 0.9, 'macs': 5.0}
    with pytest.raises(ValueError, match=r"weights='speed': expected some of accuracy"):
        weighted(numbers, numbers, {'speed': 1.0})
    with pytest.raises(ValueError, match=r"weights='f1': .* measured"):
        weighted(numbers, numbers, {'f1': 1.0})
    with pytest.raises(ValueError, match='not 0 for the whole network'):
        weighted(numbers, {'accuracy': 0.0}, {'accuracy': 1.0})
    with pytest.raises(ValueError, match=r'weights={}: expected one of'):
        weighted(numbers, numbers, {})
    with pytest.raises(ValueError, match='expected finite numbers'):
        weighted({'accuracy': NAN}, numbers, {'accuracy': 1.0})
