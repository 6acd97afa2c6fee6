"""Calibration of a classifier: errors of its probabilities, temperature, threshold.

Fit on validation images, never on those of a test.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mmdefect.functional._checks import check_vectors

# A softmax in float32 may be 0 where the truth is not; -log of this is 87.
_TINY = torch.finfo(torch.float32).tiny
# Temperatures beyond these say that nothing was there to fit.
LIMITS = (0.05, 20.0)


def negative_log_likelihood(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mean of ``-log p`` of the true classes.

    Args:
        probabilities: Shape ``(N, C)``; below the smallest normal float32 they count as
            that, so that one hopeless image does not make it infinite.
        labels: True classes, integer, shape ``(N,)``.

    Returns:
        A float64 scalar, NaN without images.

    Raises:
        ValueError: If the shapes do not fit or a class is outside ``[0, C)``.

    Example:
        >>> negative_log_likelihood(torch.tensor([[0.5, 0.5]]), torch.tensor([0]))
        tensor(0.6931, dtype=torch.float64)
    """
    _check_scores('probabilities', probabilities, labels)
    chosen = probabilities.double().gather(1, labels.long()[:, None])
    return -chosen.clamp(min=_TINY).log().mean()


def expected_calibration_error(
    probabilities: Tensor, labels: Tensor, *, bins: int = 15
) -> Tensor:
    """Distance between confidence and accuracy, averaged over bins of confidence.

    Guo et al. (ICML 2017, "On Calibration of Modern Neural Networks", eq. 3): images
    are put into equally wide bins by the probability of their likeliest class,
    ``((k - 1) / bins, k / bins]``; the distances are weighted by the number of images.
    A decision threshold plays no part.

    Args:
        probabilities: Shape ``(N, C)``.
        labels: True classes, integer, shape ``(N,)``.
        bins: Number of bins.

    Returns:
        A float64 scalar in [0, 1], NaN without images.

    Raises:
        ValueError: If the shapes do not fit, a class is outside ``[0, C)`` or there is
            no bin.

    Example:
        >>> sure = torch.tensor([[0.8, 0.2], [0.8, 0.2]])
        >>> expected_calibration_error(sure, torch.tensor([0, 1]))
        tensor(0.3000, dtype=torch.float64)
    """
    _check_scores('probabilities', probabilities, labels)
    if bins < 1:
        raise ValueError(f'bins={bins}: expected at least 1')
    confidence, predictions = probabilities.double().max(dim=1)
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    surplus = confidence - (predictions == labels).double()
    sums = surplus.new_zeros(bins).index_add_(0, place, surplus)
    return sums.abs().sum() / len(labels)


def fit_temperature(
    logits: Tensor, labels: Tensor, *, limits: tuple[float, float] = LIMITS
) -> float:
    """Temperature at which the true classes are likeliest.

    Guo et al. (ICML 2017, section 4.2): minimises the negative log-likelihood of
    ``softmax(logits / T)``. In ``1 / T`` it is convex, so Newton's steps, halved into a
    bracket where they leave it, find the one minimum.

    Args:
        logits: Shape ``(N, C)``.
        labels: True classes, integer, shape ``(N,)``.
        limits: Smallest and largest temperature.

    Returns:
        The temperature; NaN if none between the limits is best: without images, when
        every image is so clearly right that colder is always better, or when the
        logits say nothing about the classes.

    Raises:
        ValueError: If the shapes do not fit, a class is outside ``[0, C)``, a logit is
            not finite or the limits are not ``0 < low < high``.

    Example:
        >>> logits = torch.tensor([[2.0, 0]] * 4)  # says 88 %, is right in 75 %
        >>> round(fit_temperature(logits, torch.tensor([0, 0, 0, 1])), 3)
        1.82
    """
    _check_scores('logits', logits, labels)
    if not bool(logits.isfinite().all()):
        raise ValueError(
            'logits with NaN or infinity: expected finite numbers; check whether the '
            'training diverged'
        )
    if not 0 < limits[0] < limits[1]:
        raise ValueError(f'limits={limits}: expected temperatures, 0 < low < high')
    logits = logits.detach().double()
    low, high = 1 / limits[1], 1 / limits[0]
    if not len(labels) or _slope(logits, labels, low)[0] >= 0:
        return math.nan
    if _slope(logits, labels, high)[0] <= 0:
        return math.nan
    beta = min(max(1.0, low), high)
    for _ in range(100):
        slope, curvature = _slope(logits, labels, beta)
        low, high = (beta, high) if slope < 0 else (low, beta)
        step = slope / curvature if curvature > 0 else math.inf
        following = beta - step
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - beta) <= 1e-12 * beta:
            break
        beta = following
    return 1 / beta


def cost_threshold(
    scores: Tensor, labels: Tensor, miss_cost: float, false_alarm_cost: float
) -> float:
    """Probability from which on calling an image defective costs least.

    An image is called defective when ``score >= threshold``. Of all thresholds that
    cost least on these images the one nearest to ``false_alarm_cost / (miss_cost +
    false_alarm_cost)`` is taken: that is where calibrated probabilities would be cut
    (Elkan, IJCAI 2001, eq. 2). So a few images without any error do not move it.

    Args:
        scores: Probabilities of a defect, in [0, 1], shape ``(N,)``.
        labels: Not 0 for defective images, shape ``(N,)``.
        miss_cost: What a defective image costs that is called sound.
        false_alarm_cost: What a sound image costs that is called defective.

    Returns:
        The threshold, in [0, 1] and exact in the type of the scores; NaN when there is
        one label only.

    Raises:
        ValueError: If the shapes differ or are not one-dimensional, a score is not in
            [0, 1] or a cost is not positive and finite.

    Example:
        >>> scores = torch.tensor([0.1, 0.3, 0.4, 0.9], dtype=torch.float64)
        >>> labels = torch.tensor([0, 1, 0, 1])
        >>> cost_threshold(scores, labels, miss_cost=10, false_alarm_cost=1)
        0.2
    """
    check_costs(miss_cost, false_alarm_cost)
    check_vectors(scores=scores, labels=labels)
    check_shares(scores)
    defective = labels != 0
    if not bool(defective.any()) or bool(defective.all()):
        return math.nan
    ends, order = scores.detach().unique(return_inverse=True)
    counts = scores.new_zeros(2, len(ends), dtype=torch.float64)
    counts[0].index_add_(0, order[defective], counts.new_ones(int(defective.sum())))
    counts[1].index_add_(0, order[~defective], counts.new_ones(int((~defective).sum())))
    # Threshold k lies above the k lowest scores: these defects are missed, the sound
    # images at or above it are false alarms.
    below = torch.cat([counts.new_zeros(2, 1), counts.cumsum(1)], dim=1)
    total = miss_cost * below[0] + false_alarm_cost * (below[1, -1] - below[1])
    # Rounded as the scores are, or it might slip below one of them later.
    best = float(scores.new_tensor(false_alarm_cost / (miss_cost + false_alarm_cost)))
    gaps = score_gaps(ends)
    if ends[-1] == 1:  # nothing is above, no threshold calls all images sound
        total, gaps = total[:-1], gaps[:-1]
    cheapest = (total <= total.min() * (1 + 1e-12)).nonzero().flatten().tolist()
    # A gap without the best threshold gives its middle, which leaves most room.
    inside = [
        best if low < best <= high else middle
        for low, middle, high in (gaps[k] for k in cheapest)
    ]
    return min(inside, key=lambda threshold: abs(threshold - best))


def check_costs(miss_cost: float, false_alarm_cost: float) -> None:
    """Refuse costs that are not positive and finite.

    Raises:
        ValueError: Naming both.
    """
    costs = miss_cost, false_alarm_cost
    if not all(math.isfinite(cost) and cost > 0 for cost in costs):
        raise ValueError(
            f'miss_cost={miss_cost}, false_alarm_cost={false_alarm_cost}: expected '
            'finite numbers above 0'
        )


def check_shares(scores: Tensor) -> None:
    """Refuse scores outside [0, 1].

    Raises:
        ValueError: One is outside, or NaN.
    """
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        raise ValueError(
            'scores outside [0, 1]: expected probabilities; apply a softmax to logits '
            'first'
        )


def score_gaps(ends: Tensor) -> list[tuple[float, float, float]]:
    """Lower end (excluded), middle and upper end (included) of each threshold's gap.

    Args:
        ends: Different scores, ascending, shape ``(N,)``; N + 1 gaps lie around them.
    """
    zero, one = ends.new_zeros(1), ends.new_ones(1)
    low, high = torch.cat([zero, ends]), torch.cat([ends, one])
    middle = low + (high - low) / 2
    middle = torch.where(middle > low, middle, high)  # neighbours have no middle
    lower = torch.cat([zero - 1, ends])  # below the lowest score 0 itself is allowed
    return list(zip(lower.tolist(), middle.tolist(), high.tolist(), strict=True))


def _slope(logits: Tensor, labels: Tensor, beta: float) -> tuple[float, float]:
    """First and second derivative of the negative log-likelihood in ``1 / T``."""
    weights = (beta * logits).softmax(dim=1)
    mean = (weights * logits).sum(dim=1)
    spread = (weights * (logits - mean[:, None]).square()).sum(dim=1)
    chosen = logits.gather(1, labels.long()[:, None])[:, 0]
    return float((mean - chosen).mean()), float(spread.mean())


def _check_scores(name: str, scores: Tensor, labels: Tensor) -> None:
    if scores.ndim != 2 or labels.ndim != 1 or len(scores) != len(labels):
        raise ValueError(
            f'{name}.shape={tuple(scores.shape)}, labels.shape={tuple(labels.shape)}: '
            'expected (N, C) and (N,)'
        )
    classes = scores.shape[1]
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ValueError(
            f'labels from {int(labels.min())} to {int(labels.max())}: expected classes '
            f'from 0 to {classes - 1}, a column of {name} each'
        )
