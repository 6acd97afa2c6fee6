"""Competition of classes that were learned in different steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def compete(scores: Tensor, step_sizes: Sequence[int], *, power: float = 1.0) -> Tensor:
    """Lower what a later step says where an earlier one is sure.

    A class of step ``k`` keeps ``s * prod_{j<k} (1 - best_j) ** power`` of its score,
    where ``best_j`` is the best score of a class of step ``j`` at the same prior.
    Classes that a step has never seen in its images raise false alarms there; whoever
    has learned them first knows better. Classes of the first step keep their scores. A
    heuristic of ours, not from a paper.

    Args:
        scores: Probabilities, shape ``(..., C)``, classes in the order of the steps.
        step_sizes: Number of classes of each step, ``C`` together.
        power: How much: 0 leaves the scores as they are.

    Returns:
        Same shape.

    Raises:
        ValueError: Steps and classes are not as many, or ``power`` is negative.

    Example:
        >>> compete(torch.tensor([0.5, 0.2, 0.6, 0.8]), [2, 1, 1])
        tensor([0.5000, 0.2000, 0.3000, 0.1600])
    """
    if sum(step_sizes) != scores.shape[-1]:
        raise ValueError(
            f'step_sizes={list(step_sizes)}: expected {scores.shape[-1]} together, '
            'the number of classes'
        )
    if not power >= 0:
        raise ValueError(f'power={power}: expected at least 0')
    left = torch.ones_like(scores[..., :1])
    parts: list[Tensor] = []
    for step in scores.split(list(step_sizes), dim=-1):
        parts.append(step * left)
        left = left * (1 - step.amax(dim=-1, keepdim=True)) ** power
    return torch.cat(parts, dim=-1)
