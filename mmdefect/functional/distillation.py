"""Comparisons of teacher and student, prior by prior.

Nothing here reduces: sums, means and weights are the caller's. Every function computes
in the dtype it is given; give float32.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div


def distribution_kl(teacher: Tensor, student: Tensor, *, temperature: float) -> Tensor:
    """KL divergence of softened distributions, averaged over the bins.

    ``T^2 / bins * sum_b q_b (log q_b - log p_b)`` with ``q = softmax(teacher / T)`` and
    ``p = softmax(student / T)``: the form of LD (Zheng et al., CVPR 2022), of ERD and
    SD-IDD. The mean over bins makes it smaller than the textbook's by their number,
    and all published weights assume it.

    Args:
        teacher: Logits, shape ``(..., bins)``.
        student: Logits of the same shape.
        temperature: ``T``.

    Returns:
        Shape ``(...)``.

    Example:
        >>> import torch
        >>> distribution_kl(torch.tensor([2.0, 0]), torch.zeros(2), temperature=1)
        tensor(0.1639)
    """
    target = (teacher / temperature).log_softmax(dim=-1)
    log_p = (student / temperature).log_softmax(dim=-1)
    divergence = kl_div(log_p, target, reduction='none', log_target=True)
    return divergence.mean(dim=-1) * temperature**2


def quality_focal(logits: Tensor, quality: Tensor, *, beta: float = 2.0) -> Tensor:
    """Quality focal loss with soft targets (Li et al., NeurIPS 2020, eq. 3).

    Args:
        logits: Student's class logits, any shape.
        quality: Targets in [0, 1], same shape: the IoU at a positive, 0 elsewhere, or
            a teacher's score everywhere.
        beta: Exponent of the modulating factor.

    Returns:
        Same shape.

    Example:
        >>> import torch
        >>> quality_focal(torch.zeros(2), torch.tensor([0.0, 1]))
        tensor([0.1733, 0.1733])
    """
    entropy = binary_cross_entropy_with_logits(logits, quality, reduction='none')
    return entropy * (logits.sigmoid() - quality).abs().pow(beta)
