"""Errors of a classifier: counts by hand, scikit-learn, published intervals."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
)

from mmdefect.functional.classification import (
    bootstrap_interval,
    confusion_counts,
    defect_errors,
    mcnemar_exact,
    precision_recall_f1,
    wilson_interval,
)

# Five defective images, two missed; four sound ones, one false alarm.
LABELS = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1])
PREDICTIONS = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 1])


def random_classes(seed: int, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (200,), generator=generator)
    wrong = torch.rand(200, generator=generator) < 0.3
    others = torch.randint(classes, (200,), generator=generator)
    return labels, torch.where(wrong, others, labels)


def test_smoke() -> None:
    confusion = confusion_counts(LABELS, PREDICTIONS, 2)
    assert confusion.tolist() == [[3, 2], [1, 3]]
    found = defect_errors(confusion)
    assert (found.misses, found.defects) == (2, 5)
    assert (found.false_alarms, found.others) == (1, 4)
    assert (found.miss_rate, found.false_alarm_rate) == (0.4, 0.25)
    precision, recall, f1 = precision_recall_f1(confusion)
    assert precision.tolist() == pytest.approx([3 / 4, 3 / 5])
    assert recall.tolist() == pytest.approx([3 / 5, 3 / 4])
    assert f1.tolist() == pytest.approx([6 / 9, 6 / 9])


@pytest.mark.parametrize('seed', range(3))
def test_feature_equals_scikit_learn(seed) -> None:
    labels, predictions = random_classes(seed)
    confusion = confusion_counts(labels, predictions, 3)
    assert confusion.tolist() == confusion_matrix(labels, predictions).tolist()
    found = precision_recall_f1(confusion)
    expected = precision_recall_fscore_support(labels, predictions)[:3]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.tolist() == pytest.approx(theirs.tolist(), abs=1e-15)
    balanced = balanced_accuracy_score(labels, predictions)
    assert found[1].mean().item() == pytest.approx(balanced)


def test_feature_more_classes_have_errors_of_neither_kind() -> None:
    """Class 1 is defective; a 0 called 2 is an error without being an alarm."""
    labels, predictions = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([2, 1, 1, 0, 2])
    found = defect_errors(confusion_counts(labels, predictions, 3), defective=1)
    assert (found.misses, found.defects) == (1, 2)
    assert (found.false_alarms, found.others) == (1, 3)


def test_feature_undefined_is_nan() -> None:
    """Class 0 has images and is never predicted, class 2 has neither."""
    confusion = confusion_counts(torch.tensor([0, 1]), torch.tensor([1, 1]), 3)
    precision, recall, f1 = precision_recall_f1(confusion)
    assert [math.isnan(v) for v in precision.tolist()] == [True, False, True]
    assert [math.isnan(v) for v in recall.tolist()] == [False, False, True]
    assert [math.isnan(v) for v in f1.tolist()] == [False, False, True]
    assert f1[0].item() == recall[0].item() == 0
    assert math.isnan(defect_errors(confusion, 2).miss_rate)
    everything = confusion_counts(torch.tensor([0]), torch.tensor([0]), 2)
    assert math.isnan(defect_errors(everything).false_alarm_rate)


def test_shape_no_images() -> None:
    empty = torch.zeros(0, dtype=torch.long)
    assert confusion_counts(empty, empty, 2).tolist() == [[0, 0], [0, 0]]


# The casting study's errors of 715 and the 95 % intervals of its accuracies in per
# cent, as the table of recorded results prints them.
@pytest.mark.parametrize(
    ('errors', 'low', 'high'),
    [(2, 99.0, 99.9), (6, 98.2, 99.6), (25, 94.9, 97.6), (28, 94.4, 97.3)],
)
def test_feature_wilson_of_the_study(errors, low, high) -> None:
    least, most = wilson_interval(errors, 715)
    assert round(100 * (1 - most), 1) == low
    assert round(100 * (1 - least), 1) == high


def test_feature_wilson_solves_its_equation() -> None:
    """Its ends are where the error is z standard deviations away."""
    z = 1.959963984540054  # scipy 1.17.1: norm.ppf(0.975)
    for end in wilson_interval(25, 715):
        off = abs(25 / 715 - end)
        assert off == pytest.approx(z * math.sqrt(end * (1 - end) / 715), rel=1e-9)


def test_feature_wilson_ends() -> None:
    # scipy 1.17.1: binomtest(0, 10).proportion_ci(method='wilson')
    low, high = wilson_interval(0, 10)
    assert low == 0.0
    assert high == pytest.approx(0.27753279986288926, rel=1e-12)
    assert wilson_interval(10, 10) == (pytest.approx(1 - high), 1.0)
    assert all(math.isnan(end) for end in wilson_interval(0, 0))
    narrow, wide = wilson_interval(3, 50, level=0.5), wilson_interval(3, 50)
    assert wide[0] < narrow[0] < 3 / 50 < narrow[1] < wide[1]


def test_feature_bootstrap() -> None:
    """Near the normal interval of a mean, and a function of the seed alone."""
    values = (torch.arange(400) % 10 > 0).float()
    torch.manual_seed(1)
    low, high = bootstrap_interval(values)
    torch.manual_seed(2)
    assert bootstrap_interval(values) == (low, high)
    seeds = {bootstrap_interval(values, seed=seed, samples=50) for seed in range(5)}
    assert len(seeds) > 1
    half = 1.96 * math.sqrt(0.9 * 0.1 / 400)
    assert low == pytest.approx(0.9 - half, abs=0.006)
    assert high == pytest.approx(0.9 + half, abs=0.006)


def test_feature_bootstrap_of_constant_and_of_nothing() -> None:
    assert bootstrap_interval(torch.ones(7)) == (1.0, 1.0)
    assert all(math.isnan(end) for end in bootstrap_interval(torch.zeros(0)))


def test_feature_bootstrap_in_pieces(monkeypatch) -> None:
    """Large sets are resampled piece by piece, each sample whole."""
    values = torch.arange(6.0)
    monkeypatch.setattr('mmdefect.functional.classification._CHUNK', 20)
    low, high = bootstrap_interval(values, samples=500)
    assert 0 < low < 2.5 < high < 5


# scipy 1.17.1: binomtest(min(b, c), b + c).pvalue
@pytest.mark.parametrize(
    ('b', 'c', 'p'),
    [
        (2, 6, 0.2890625),
        (6, 2, 0.2890625),
        (28, 6, 0.00019512558355927467),
        (5, 5, 1.0),
        (0, 0, 1.0),
        (0, 1, 1.0),
        (0, 6, 0.03125),
    ],
)
def test_feature_mcnemar(b, c, p) -> None:
    assert mcnemar_exact(b, c) == pytest.approx(p, rel=1e-12)


def test_feature_mcnemar_of_many() -> None:
    """Two to the minus 3000 is no float any more."""
    assert mcnemar_exact(1450, 1550) == pytest.approx(0.07066904481175819, rel=1e-9)


def test_exception() -> None:
    with pytest.raises(ValueError, match=r'\(2,\), predictions.shape=\(3,\)'):
        confusion_counts(torch.zeros(2).long(), torch.zeros(3).long(), 2)
    with pytest.raises(ValueError, match='predictions from 0 to 2'):
        confusion_counts(torch.tensor([0, 1]), torch.tensor([2, 0]), 2)
    with pytest.raises(ValueError, match='labels from -1 to 0'):
        confusion_counts(torch.tensor([-1, 0]), torch.tensor([0, 0]), 2)
    with pytest.raises(ValueError, match='defective=2: expected'):
        defect_errors(torch.eye(2).long(), 2)
    with pytest.raises(ValueError, match=r'errors=8: .* n=7'):
        wilson_interval(8, 7)
    with pytest.raises(ValueError, match='level=95'):
        wilson_interval(1, 7, level=95)
    with pytest.raises(ValueError, match='level=1'):
        bootstrap_interval(torch.ones(3), level=1)
    with pytest.raises(ValueError, match='1 NaN'):
        bootstrap_interval(torch.tensor([1.0, math.nan]))
    with pytest.raises(ValueError, match=r'\(2, 2\)'):
        bootstrap_interval(torch.ones(2, 2))
    with pytest.raises(ValueError, match='samples=0'):
        bootstrap_interval(torch.ones(2), samples=0)
    with pytest.raises(ValueError, match='b=-1'):
        mcnemar_exact(-1, 0)
