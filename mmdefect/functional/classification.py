"""Error rates of a classifier, and how sure one can be of them.

Counts in, numbers out; float64 throughout, and NaN where a number is undefined because
there is nothing to divide by. A miss is a defective image called something else, a
false alarm an image without defect called defective.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from mmdefect.functional._checks import check_vectors

# Resampled numbers held at once by the bootstrap: 32 MB.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class DefectErrors:
    """The two ways of being wrong about a defect.

    Attributes:
        misses: Defective images that were called something else.
        defects: Defective images.
        false_alarms: Other images that were called defective.
        others: Other images.
    """

    misses: int
    defects: int
    false_alarms: int
    others: int

    @property
    def miss_rate(self) -> float:
        """Share of the defective images that is missed; NaN without any."""
        return self.misses / self.defects if self.defects else math.nan

    @property
    def false_alarm_rate(self) -> float:
        """Share of the other images that raises an alarm; NaN without any."""
        return self.false_alarms / self.others if self.others else math.nan


def confusion_counts(labels: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Count every pair of true and predicted class.

    Args:
        labels: True classes, integer, shape ``(N,)``.
        predictions: Predicted classes, integer, shape ``(N,)``.
        num_classes: Number of classes, ``C``.

    Returns:
        int64, shape ``(C, C)``: a row a true class, a column a predicted one.

    Raises:
        ValueError: If the shapes differ or are not one-dimensional, or a class is
            outside ``[0, C)``.

    Example:
        >>> confusion_counts(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2)
        tensor([[1, 1],
                [0, 1]])
    """
    check_vectors(labels=labels, predictions=predictions)
    for name, classes in (('labels', labels), ('predictions', predictions)):
        low, high = (int(c) for c in classes.aminmax()) if len(classes) else (0, -1)
        if low < 0 or high >= num_classes:
            raise ValueError(
                f'{name} from {low} to {high}: expected classes from 0 to '
                f'{num_classes - 1}; check num_classes and the order of the classes'
            )
    pairs = labels.long() * num_classes + predictions.long()
    counts = torch.bincount(pairs, minlength=num_classes**2)
    return counts.view(num_classes, num_classes)


def defect_errors(confusion: Tensor, defective: int = 0) -> DefectErrors:
    """Split the errors into misses and false alarms.

    With more than two classes an error between two kinds of sound images is neither.

    Args:
        confusion: What :func:`confusion_counts` returns.
        defective: Index of the defective class.

    Raises:
        ValueError: If there is no such class.

    Example:
        >>> defect_errors(torch.tensor([[8, 2], [1, 89]]))
        DefectErrors(misses=2, defects=10, false_alarms=1, others=90)
    """
    if not 0 <= defective < len(confusion):
        raise ValueError(
            f'defective={defective}: expected the index of a class, 0 to '
            f'{len(confusion) - 1}'
        )
    found = int(confusion[defective, defective])
    defects = int(confusion[defective].sum())
    return DefectErrors(
        misses=defects - found,
        defects=defects,
        false_alarms=int(confusion[:, defective].sum()) - found,
        others=int(confusion.sum()) - defects,
    )


def precision_recall_f1(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Precision, recall and F1 of each class, over the whole set at once.

    Args:
        confusion: What :func:`confusion_counts` returns, shape ``(C, C)``.

    Returns:
        Three float64 tensors of shape ``(C,)``. Precision is NaN for a class that was
        never predicted, recall for one without images, F1 where both is the case.

    Example:
        >>> _, recall, _ = precision_recall_f1(torch.tensor([[8, 2], [0, 90]]))
        >>> recall
        tensor([0.8000, 1.0000], dtype=torch.float64)
    """
    hits = confusion.diagonal().double()
    predicted, present = confusion.sum(0), confusion.sum(1)
    # 0 / 0 is NaN in torch, which is what is meant.
    return hits / predicted, hits / present, 2 * hits / (predicted + present)


def wilson_interval(errors: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of an error rate.

    JASA 1927: unlike the usual ``p +- z s`` it is sound for a handful of
    errors, and not of width zero without any. The interval of the accuracy is
    ``1 - high`` to ``1 - low``.

    Args:
        errors: How often it happened.
        n: Out of how many.
        level: How sure to be.

    Returns:
        ``(low, high)`` of the rate ``errors / n``, in [0, 1]; NaN both if ``n`` is 0.

    Raises:
        ValueError: If ``errors`` is not in [0, n] or ``level`` not in (0, 1).

    Example:
        >>> low, high = wilson_interval(25, 715)
        >>> f'{1 - high:.3f} {1 - low:.3f}'
        '0.949 0.976'
    """
    if not 0 <= errors <= n:
        raise ValueError(f'errors={errors}: expected at least 0 and at most n={n}')
    _check_level(level)
    if n == 0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate, share = errors / n, z * z / n
    centre = (rate + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(rate * (1 - rate) / n + share / n / 4)
    # Exactly 0 and 1 at the ends, where rounding would leave 1e-18.
    low = 0.0 if errors == 0 else centre - half
    return low, 1.0 if errors == n else centre + half


def bootstrap_interval(
    values: Tensor, *, level: float = 0.95, samples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval of a mean: percentiles of the means of resampled sets.

    Efron's percentile interval. The resampled sets hang on ``seed`` alone and not on
    torch's global generator.

    Args:
        values: One number an image (1 for a right answer, an IoU, ...), shape ``(N,)``.
        level: How sure to be.
        samples: How many sets of ``N`` are drawn with replacement.
        seed: Seed of the draws.

    Returns:
        ``(low, high)``; NaN both without values.

    Raises:
        ValueError: If the values are not one-dimensional or one is NaN, ``samples`` is
            below 1 or ``level`` is not in (0, 1).

    Example:
        >>> bootstrap_interval(torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 0]))
        (0.625, 1.0)
    """
    if values.ndim != 1 or bool(values.isnan().any()):
        raise ValueError(
            f'values of shape {tuple(values.shape)} with {int(values.isnan().sum())} '
            'NaN: expected numbers of shape (N,); leave out images without one'
        )
    _check_level(level)
    if samples < 1:
        raise ValueError(f'samples={samples}: expected at least 1')
    number = len(values)
    if not number:
        return math.nan, math.nan
    generator = torch.Generator().manual_seed(seed)
    values = values.detach().double().cpu()
    means = []
    for size in torch.arange(samples).split(max(1, _CHUNK // number)):
        drawn = torch.randint(number, (len(size), number), generator=generator)
        means.append(values[drawn].mean(dim=1))
    tail = (1 - level) / 2
    ends = torch.tensor([tail, 1 - tail], dtype=torch.float64)
    low, high = torch.cat(means).quantile(ends).tolist()
    return low, high


def mcnemar_exact(b: int, c: int) -> float:
    """McNemar's test of two classifiers, from the images on which one of them is wrong.

    Psychometrika 1947, in its exact form: if they were equally good, each such image
    would be a fair coin.

    Args:
        b: Images on which only the first is wrong.
        c: Images on which only the second is wrong.

    Returns:
        Two-sided p-value in (0, 1]; 1 when they never disagree.

    Raises:
        ValueError: If a number is negative.

    Example:
        >>> mcnemar_exact(2, 6)
        0.2890625
    """
    if min(b, c) < 0:
        raise ValueError(f'b={b}, c={c}: expected counts of at least 0')
    number = b + c
    tail = sum(math.comb(number, k) for k in range(min(b, c) + 1))
    # Whole numbers until here: 2 ** -number alone would underflow.
    return min(1.0, 2 * tail / 2**number)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(
            f'level={level}: expected more than 0 and less than 1, usually 0.95'
        )
