"""What a frozen head makes of the student's features, against formulas and by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mmdefect.models.detection.distill.cross_terms import CrossBoxes, CrossClasses
from mmdefect.models.detection.distill.strategies import CrossHeadDistillation
from tests.models.detection.distill.conftest import (
    BOXES,
    as_context,
    random_context,
    random_maps,
    student_of,
)


def crossed(boxes=BOXES, valid=None):
    """A context in which frozen heads have seen the student's features."""
    teacher = random_maps(len(boxes), 3)
    student = student_of(teacher, 2)
    context = as_context(teacher, student, boxes, valid)
    expert = random_maps(len(boxes), 5, seed=7)
    return replace(
        context,
        expert=expert.dense(),
        cross={
            'teacher': student_of(teacher, 0, seed=3).dense(),
            'expert': student_of(expert, 0, seed=4).dense(),
        },
    )


def by_hand(theirs, ours, classes, gap):
    """``sum_i w_i gap_i / sum_i w_i`` of each image, prior by prior."""
    found = []
    for image in range(len(theirs.classes)):
        total = weights = 0.0
        for prior in range(theirs.classes.shape[1]):
            scores = theirs.classes[image, prior, classes].double().sigmoid()
            weights += scores.max().item()
            total += scores.max().item() * gap(image, prior)
        found.append(total / max(weights, 1.0))
    return found


@pytest.mark.parametrize(
    ('source', 'classes'), [('teacher', slice(0, 3)), ('expert', slice(3, 5))]
)
def test_feature_classes_weighted_by_the_best_score(source, classes):
    context = crossed()
    theirs, ours = getattr(context, source), context.cross[source]

    def gap(image, prior):
        apart = (
            ours.classes[image, prior, classes] - theirs.classes[image, prior, classes]
        )
        return apart.double().square().mean().item()

    values, sizes = CrossClasses(source=source)(context)
    expected = by_hand(theirs, ours, classes, gap)
    torch.testing.assert_close(values, torch.tensor(expected), rtol=1e-4, atol=0)
    assert sizes.tolist() == [189, 189]


def test_feature_boxes_weighted_by_the_best_score():
    """Mean over the sides of ``T^2 / 17 sum_b q_b (log q_b - log p_b)``."""
    context = crossed()
    theirs, ours = context.teacher, context.cross['teacher']

    def gap(image, prior):
        q, p = (
            (one.boxes[image, prior].double() / 10).softmax(dim=1)
            for one in (theirs, ours)
        )
        return (100 / 17 * (q * (q / p).log()).sum() / 4).item()

    values, _ = CrossBoxes()(context)
    expected = by_hand(theirs, ours, slice(0, 3), gap)
    torch.testing.assert_close(values, torch.tensor(expected), rtol=1e-3, atol=0)


def test_feature_constant_gaps_are_what_is_returned():
    """Every logit half a unit apart: 0.25, whatever the scores and the image's size."""
    context = crossed()
    shifted = replace(context.teacher, classes=context.teacher.classes + 0.5)
    context = replace(context, cross={'teacher': shifted})
    values, _ = CrossClasses(floor=1e-6)(context)
    assert values.tolist() == pytest.approx([0.25, 0.25], rel=1e-5)


def test_feature_padding_is_not_looked_at():
    valid = torch.ones(2, 189, dtype=torch.bool)
    valid[1, 50:] = False
    whole, part = (CrossClasses()(crossed(valid=v)) for v in (None, valid))
    assert part[1].tolist() == [189, 50]
    assert part[0][0] == whole[0][0]
    assert part[0][1] != whole[0][1]


def test_feature_a_teacher_that_sees_nothing_says_little():
    """The divisor does not fall below the floor."""
    context = crossed()
    silent = replace(context.teacher, classes=context.teacher.classes - 30)
    values, _ = CrossClasses()(replace(context, teacher=silent))
    assert (values < 1e-5).all()
    assert values.isfinite().all()


def test_smoke_terms_of_the_strategy():
    """Old logits and the teacher's head; an expert's where it is switched on."""
    context = crossed()
    names = [k for k in CrossHeadDistillation()(context) if 'loss' in k]
    assert names == ['loss_dist_cls', 'loss_dist_cross_cls', 'loss_dist_cross_box']
    strategy = CrossHeadDistillation(
        classification=False, boxes=False, expert_classes={'weight': 3.0},
        expert_boxes=True,
    )  # fmt: skip
    found = strategy(context)
    values, _ = CrossClasses(source='expert')(context)
    assert [k for k in found if 'loss' in k] == [
        'loss_dist_cross_cls', 'loss_dist_expert_cls', 'loss_dist_expert_box'
    ]  # fmt: skip
    # A mean over the images.
    torch.testing.assert_close(found['loss_dist_expert_cls'], 3 * values.mean())


@pytest.mark.parametrize('source', ['teacher', 'expert'])
def test_exception_no_frozen_head(source):
    message = rf'model\.{source}=None: expected dict\(checkpoint=\.\.\.\)'
    with pytest.raises(ValueError, match=message):
        CrossClasses(source=source)(random_context())


def test_exception_source():
    with pytest.raises(ValueError, match="source='student': expected one of teacher"):
        CrossBoxes(source='student')
