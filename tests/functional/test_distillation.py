"""Comparisons of teacher and student, on numbers computed apart from the code."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.losses import QualityFocalLoss

from mmdefect.functional.distillation import distribution_kl, quality_focal


def side(**logits):
    """Logits of one side, 17 bins, zero but for the bins ``b3=5.0``."""
    bins = torch.zeros(17, dtype=torch.float64)
    for name, value in logits.items():
        bins[int(name[1:])] = value
    return bins


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_smoke_kl_of_the_specification():
    """SD-IDD specification vector 2, computed with NumPy."""
    found = distribution_kl(side(b3=5.0, b4=4.0), side(b5=5.0), temperature=10.0)
    assert found.item() == pytest.approx(0.1369943, abs=5e-8)


@pytest.mark.parametrize('temperature', [1.0, 2.0, 10.0])
def test_feature_kl_is_a_divergence(temperature):
    """Positive, zero for equal distributions, not symmetric."""
    teacher, student = random(20, 4, 17), random(20, 4, 17, seed=1)
    there = distribution_kl(teacher, student, temperature=temperature)
    back = distribution_kl(student, teacher, temperature=temperature)
    assert there.shape == (20, 4)
    assert (there > 0).all()
    assert not torch.allclose(there, back)
    shifted = distribution_kl(teacher, teacher + 3, temperature=temperature)
    torch.testing.assert_close(shifted, torch.zeros_like(shifted), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ('logit', 'expected', 'accuracy'),
    [(0.0, 0.1732868, 5e-8), (-4.59512, 1.00503e-6, 5e-12)],
)
def test_feature_quality_focal_of_a_negative(logit, expected, accuracy):
    """SD-IDD specification vector 3: sigmoid^2 * -log(1 - sigmoid)."""
    logits = torch.tensor([logit], dtype=torch.float64)
    found = quality_focal(logits, torch.zeros_like(logits))
    assert found.item() == pytest.approx(expected, abs=accuracy)


def test_feature_quality_focal_equals_mmdets():
    """With mmdet's hard targets: the IoU in one column of a positive, else 0."""
    logits, labels = random(6, 3), torch.tensor([0, 3, 2, 1, 3, 3])
    iou = torch.tensor([0.7, 0.0, 0.2, 0.9, 0.0, 0.0], dtype=torch.float64)
    quality = torch.zeros(6, 3, dtype=torch.float64)
    positive = labels < 3
    quality[positive, labels[positive]] = iou[positive]
    theirs = QualityFocalLoss(use_sigmoid=True, beta=2.0, reduction='none')
    torch.testing.assert_close(
        quality_focal(logits, quality).sum(dim=1), theirs(logits, (labels, iou))
    )


def test_feature_quality_focal_rests_at_its_target():
    """No value and no gradient where the score is the quality already."""
    logits = random(5, 3).requires_grad_()
    loss = quality_focal(logits, logits.detach().sigmoid())
    assert loss.abs().max() == 0
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient.abs().max() == 0
    (elsewhere,) = torch.autograd.grad(
        quality_focal(logits, logits.detach().sigmoid() / 2).sum(), logits
    )
    assert (elsewhere > 0).all()
