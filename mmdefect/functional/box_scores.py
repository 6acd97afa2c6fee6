"""Scores of classes that were learned in different steps, made comparable."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

from mmdefect.functional._checks import check_vectors
from mmdefect.functional.box_matching import HIT, IGNORED
from mmdefect.functional.box_thresholds import matched
from mmdefect.functional.calibration import check_shares


def fit_scale_offset(
    scores: Tensor, hits: Tensor, *, strength: float = 1.0
) -> tuple[float, float]:
    """Scale and offset of a class's logits at which its scores mean what they say.

    Platt scaling (Advances in Large Margin Classifiers, 1999): the score of a box
    becomes the probability that it hits. ``sigmoid(a * logit(score) + b)`` minimises
    the negative log-likelihood of the hits plus ``strength / 2 * ((a - 1)^2 + b^2)``,
    which keeps both finite and, with few boxes, near to where they were. Convex; solved
    by Newton's steps, halved while they do not help.

    Args:
        scores: Of boxes that are not ignored, in [0, 1], shape ``(N,)``.
        hits: Which of them hit an annotated box, shape ``(N,)``.
        strength: How much it takes to move them; 0 is Platt's own.

    Returns:
        ``a`` and ``b``; 1 and 0 without boxes, or where ``a`` would not be positive: an
        order of boxes is never turned round.

    Raises:
        ValueError: If the shapes differ or a score is not in [0, 1].

    Example:
        >>> scores = torch.full((90,), 0.5)  # says one in two, and hits one in three
        >>> a, b = fit_scale_offset(scores, torch.arange(90) % 3 == 0)
        >>> round(a, 2), round(b, 2)
        (1.0, -0.66)
    """
    check_vectors(scores=scores, hits=hits)
    check_shares(scores)
    given = scores.detach().cpu().double().clamp(1e-7, 1 - 1e-7).logit()
    right = (hits != 0).cpu().double()
    rows = torch.stack([given, torch.ones_like(given)], dim=1)
    start = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def cost(line: Tensor) -> float:
        logits = rows @ line
        misfit = (softplus(logits) - right * logits).sum()
        return float(misfit + strength / 2 * (line - start).square().sum())

    line = start
    for _ in range(100):
        says = (rows @ line).sigmoid()
        slope = rows.T @ (says - right) + strength * (line - start)
        curve = (rows * (says * (1 - says))[:, None]).T @ rows
        curve += max(strength, 1e-9) * torch.eye(2, dtype=torch.float64)
        step = torch.linalg.solve(curve, slope)
        while cost(line - step) > cost(line) and bool(step.abs().max() > 1e-12):
            step = step / 2
        line = line - step
        if bool(step.abs().max() <= 1e-10):
            break
    scale, offset = line.tolist()
    return (scale, offset) if scale > 0 else (1.0, 0.0)


def fit_classes(
    detections: Sequence[tuple[Tensor, Tensor, Tensor]],
    truths: Sequence[tuple[Tensor, Tensor, Tensor]],
    *,
    classes: int,
    iou: float = 0.5,
) -> Tensor:
    """Fit each class on images with boxes.

    See :func:`fit_scale_offset` for the fit, and
    :func:`mmdefect.functional.choose_thresholds` for the arguments. The order of boxes
    within a class does not change, so neither does its AP; what changes is how classes
    compare: at one threshold for all, and where steps compete.

    Returns:
        Scale and offset of each class, ``(C, 2)`` float64.
    """
    fitted = torch.zeros(classes, 2, dtype=torch.float64)
    scores, labels, kinds, _ = matched(detections, truths, classes=classes, iou=iou)
    for label in range(classes):
        counted = (labels == label) & (kinds != IGNORED)
        line = fit_scale_offset(scores[counted], kinds[counted] == HIT)
        fitted[label] = torch.tensor(line, dtype=torch.float64)
    return fitted
