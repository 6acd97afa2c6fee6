"""Choice among pruned networks: FTL's decision function, and better ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

HIGH = ('accuracy', 'balanced_accuracy', 'f1')
LOW = ('parameters', 'macs', 'latency_ms')


def ftl_published(
    accuracy: float, f1: float, parameters: float, **reference: float
) -> float:
    """FTL's decision function as its tables were made, accuracies in percent.

    ``S = (a / a0 - a0 / 2) / (1 - a0 / 2) + F / F0 + (1 - P / P0)``, recovered from the
    190 scores that the authors published. The first term is meant for fractions, where
    it is 1 at parity and near 0 at chance; in percent it hardly moves, and falls as the
    accuracy rises, so F1 and size decide. See :func:`ftl_fraction`.

    Args:
        accuracy: Of the candidate, in percent.
        f1: Of the candidate, a fraction.
        parameters: Of its convolutions.
        reference: ``reference_accuracy``, ``reference_f1`` and ``reference_parameters``
            of the whole network.

    Returns:
        The score; the whole network itself has 2, higher is better.

    Raises:
        ValueError: Accuracies look like fractions, or a number is out of range.

    Example:
        >>> whole = {
        ...     'reference_accuracy': 95.0,
        ...     'reference_f1': 0.9,
        ...     'reference_parameters': 100,
        ... }
        >>> ftl_published(95.0, 0.9, 100, **whole)  # the whole network itself
        2.0
    """
    whole = reference['reference_accuracy']
    if max(accuracy, whole) <= 1:
        raise ValueError(
            f'accuracy={accuracy:g}, reference_accuracy={whole:g}: expected percent, '
            'as published; for fractions use ftl_fraction'
        )
    return _ftl(100.0, accuracy, f1, parameters, **reference)


def ftl_fraction(
    accuracy: float, f1: float, parameters: float, **reference: float
) -> float:
    """FTL's decision function with accuracies in [0, 1], which it is made for.

    Arguments and errors as in :func:`ftl_published`.

    Example:
        >>> whole = {
        ...     'reference_accuracy': 0.8,
        ...     'reference_f1': 0.9,
        ...     'reference_parameters': 100,
        ... }
        >>> ftl_fraction(0.8, 0.9, 50, **whole)
        2.5
    """
    return _ftl(1.0, accuracy, f1, parameters, **reference)


def _ftl(
    most: float,
    accuracy: float,
    f1: float,
    parameters: float,
    *,
    reference_accuracy: float,
    reference_f1: float,
    reference_parameters: float,
) -> float:
    fine = (
        0 <= accuracy <= most
        and 0 < reference_accuracy <= most
        and reference_accuracy != 2  # percent, where the formula divides by 0
        and 0 <= f1 <= 1
        and 0 < reference_f1 <= 1
        and parameters >= 0
        and reference_parameters > 0
    )
    if not fine:  # NaN as well
        raise ValueError(
            f'accuracy={accuracy:g}, f1={f1:g}, parameters={parameters:g}, of the '
            f'reference {reference_accuracy:g}, {reference_f1:g} and '
            f'{reference_parameters:g}: expected accuracies up to {most:g}, F1 up to '
            '1, and a reference above 0 (its accuracy not 2 percent, where the formula '
            'divides by 0)'
        )
    half = reference_accuracy / 2
    gained = (accuracy / reference_accuracy - half) / (1 - half)
    return gained + f1 / reference_f1 + (1 - parameters / reference_parameters)


def pareto_front(
    cost: Sequence[float],
    accuracy: Sequence[float],
    loss: Sequence[float] | None = None,
) -> list[int]:
    """Networks beaten by none that is cheaper and as good, or as cheap and better.

    Args:
        cost: Parameters, latency or the like.
        accuracy: Of the same networks, in the same order.
        loss: Of the same, which decides between equals in both.

    Returns:
        Their indices by rising cost; of equals in all the first.

    Raises:
        ValueError: There is none, the lengths differ, or a number is NaN.

    Example:
        >>> pareto_front(cost=[3, 1, 2], accuracy=[0.9, 0.8, 0.7])
        [1, 0]
    """
    if not cost or len(cost) != len(accuracy):
        raise ValueError(
            f'{len(cost)} costs and {len(accuracy)} accuracies: expected as many of '
            'both, at least one'
        )
    if any(math.isnan(value) for value in (*cost, *accuracy)):
        raise ValueError('a cost or accuracy of NaN: expected numbers')
    loss = loss or [0.0] * len(cost)
    order = sorted(range(len(cost)), key=lambda i: (cost[i], -accuracy[i], loss[i]))
    front: list[int] = []
    for index in order:
        if not front or accuracy[index] > accuracy[front[-1]]:
            front.append(index)
    return front


def one_standard_error(
    cost: Sequence[float],
    accuracy: Sequence[float],
    images: int,
    loss: Sequence[float] | None = None,
) -> int:
    """The cheapest network that is as good as the best within a standard error.

    The error is that of the best accuracy ``p`` on ``n`` images, ``sqrt(p(1-p)/n)``
    (Breiman et al., Classification and Regression Trees, 1984, the 1-SE rule).

    Args:
        cost: As for :func:`pareto_front`.
        accuracy: As fractions.
        images: On how many they were measured.
        loss: As for :func:`pareto_front`.

    Raises:
        ValueError: No images, accuracies beyond [0, 1], or as for the front.

    Example:
        >>> one_standard_error([1, 2, 3], [0.7, 0.89, 0.9], images=100)
        1
    """
    front = pareto_front(cost, accuracy, loss)
    best = accuracy[front[-1]]
    if images < 1 or not all(0 <= value <= 1 for value in accuracy):
        raise ValueError(
            f'accuracy={max(accuracy):g}, images={images}: expected fractions, on at '
            'least one image'
        )
    border = best - math.sqrt(best * (1 - best) / images)
    return next(index for index in front if accuracy[index] >= border)


def weighted(
    measured: Mapping[str, float],
    reference: Mapping[str, float],
    weights: Mapping[str, float],
) -> float:
    """Sum of weighted ratios to the whole network.

    ``sum of w * m / m0`` for what should be high (accuracy, f1), ``w * (1 - m / m0)``
    for what should be low (parameters, macs, latency_ms).

    Args:
        measured: Numbers of the candidate by name.
        reference: The same of the whole network.
        weights: Weight of each that counts.

    Raises:
        ValueError: A weight of something unknown or not measured, a reference of 0, a
            number that is not finite, or no weight.

    Example:
        >>> candidate = {'accuracy': 0.9, 'macs': 25}
        >>> whole = {'accuracy': 0.9, 'macs': 100}
        >>> weighted(candidate, whole, {'accuracy': 1, 'macs': 2})
        2.5
    """
    if not weights:
        raise ValueError(f'weights={weights}: expected one of {", ".join(HIGH + LOW)}')
    total = 0.0
    for name, weight in weights.items():
        known = name in HIGH or name in LOW
        if not known or name not in measured or not reference.get(name):
            raise ValueError(
                f'weights={name!r}: expected some of {", ".join(HIGH + LOW)}, measured '
                'and not 0 for the whole network'
            )
        ratio = measured[name] / reference[name]
        total += weight * (ratio if name in HIGH else 1 - ratio)
    if not math.isfinite(total):
        raise ValueError(
            f'measured={dict(measured)}, reference={dict(reference)}, '
            f'weights={dict(weights)}: expected finite numbers'
        )
    return total
