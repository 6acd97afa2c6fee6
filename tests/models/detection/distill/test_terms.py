"""Every term against its formula, written out prior by prior."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.dense_heads.gfl_head import Integral
from mmdet.models.task_modules import DistancePointBBoxCoder
from torchvision.ops import box_iou

from mmdefect.models.detection.distill.terms import (
    DifficultFeatures,
    ElasticBoxes,
    FittingBoxes,
    OldLogits,
    ReleasedClasses,
    SoftQuality,
)
from tests.models.detection.distill.conftest import (
    BOXES,
    as_context,
    random_context,
    random_maps,
    student_of,
)

TERMS = [OldLogits, FittingBoxes, DifficultFeatures, ElasticBoxes, SoftQuality]


def box_kl(context, image, prior, temperature=10.0):
    """Sum over the sides of T^2 / 17 * sum_b q_b (log q_b - log p_b)."""
    q = (context.teacher.boxes[image, prior].double() / temperature).softmax(dim=1)
    p = (context.student.boxes[image, prior].double() / temperature).softmax(dim=1)
    return (temperature**2 / 17 * (q * (q / p).log()).sum()).item()


def summed_kl(context, image, mask, weights):
    """``1/4 sum_i w_i sum_sides KL`` over the priors of a mask."""
    return sum(
        weights[prior].item() * box_kl(context, image, prior) / 4
        for prior in mask.nonzero().flatten()
    )


def assert_values(found, expected):
    values, _ = found
    expected = torch.tensor(expected, dtype=values.dtype)
    assert (expected > 0).any()
    torch.testing.assert_close(values, expected, rtol=2e-4, atol=1e-7)


# (a) classification


def test_feature_old_logits_where_the_teacher_is_confident():
    """Mean over confident priors and old classes of the squared logit difference."""
    context = random_context()
    expected, counts = [], []
    for theirs, ours in zip(
        context.teacher.classes, context.student.classes, strict=True
    ):
        confidence = theirs.double().sigmoid().amax(dim=1)
        chosen = confidence > confidence.mean() + 2 * confidence.std(unbiased=True)
        gap = (ours[chosen, :3] - theirs[chosen]).double()
        expected.append((gap**2).mean().item())
        counts.append(int(chosen.sum()))
    found = OldLogits()(context)
    assert_values(found, expected)
    assert found[1].tolist() == counts
    assert 0 < counts[0] < 40


def test_feature_old_logits_everywhere():
    """Learning without Forgetting: all priors, confident or not."""
    context = random_context()
    gap = context.student.classes[..., :3] - context.teacher.classes
    found = OldLogits(region='all')(context)
    assert_values(found, gap.square().mean(dim=(1, 2)).tolist())
    assert found[1].tolist() == [189, 189]


def test_feature_old_logits_deviations():
    counts = [
        OldLogits(num_std=number)(random_context())[1].sum().item()
        for number in (0.0, 1.0, 2.0, 50.0)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[1] > counts[2] > counts[3] == 0


# (b) boxes


def one_prior(teacher_bins, student_bins):
    """A box that is the prior at row 5, column 5; all class logits are 0."""
    maps = random_maps(1, 1)
    teacher = maps.map(torch.zeros_like)
    student = random_maps(1, 2).map(torch.zeros_like)
    for some, bins in ((teacher, teacher_bins), (student, student_bins)):
        for number, value in bins.items():
            some.boxes[0][:, number::17] = value
    return as_context(teacher, student, [[(24.0, 24.0, 56.0, 56.0)]])


@pytest.mark.parametrize(('divisor', 'expected'), [(4, 0.0171243), (16, 0.0042811)])
def test_feature_fitting_boxes_of_the_specification(divisor, expected):
    """SD-IDD specification vector 2: one prior of weight 0.5, factor 0.25.

    The weight is the score of a new class at logit 0.
    """
    context = one_prior({3: 5.0, 4: 4.0}, {5: 5.0})
    term = FittingBoxes(br_weight='student_score', topk=1, divisor=divisor)
    values, sizes = term(context)
    assert sizes.tolist() == [1]
    # float32, as the losses are computed
    assert (term.weight * values).tolist() == [pytest.approx(expected, abs=2e-7)]


@pytest.mark.parametrize(('name', 'divisor'), [('fitting', 4), ('ring', 16)])
def test_feature_fitting_boxes_weighted_by_the_priors_iou(name, divisor):
    context = random_context()
    region = getattr(context, name)()
    expected = [
        summed_kl(context, i, region.mask[i], region.iou[i]) * 4 / divisor
        for i in range(2)
    ]
    found = FittingBoxes(region=name, divisor=divisor)(context)
    assert_values(found, expected)
    assert found[1].tolist() == region.mask.sum(dim=1).tolist()


def test_feature_fitting_boxes_weighted_by_the_teachers_iou():
    """Of the teacher's box at a prior, decoded by mmdet, with the box it belongs to.

    The images have different numbers of boxes, so that owners must be counted on.
    """
    context = random_context(boxes=((), *BOXES, BOXES[0]))
    region = context.fitting()
    expected = []
    for image, boxes in enumerate(context.gt_boxes):
        sides = Integral(16)(context.teacher.boxes[image].flatten(1))
        points = context.points / context.strides[:, None]
        decoded = DistancePointBBoxCoder().decode(points, sides)
        ious = box_iou(decoded * context.strides[:, None], boxes)
        if not len(boxes):
            expected.append(0.0)
            continue
        weights = ious.gather(1, region.owner[image][:, None])[:, 0]
        expected.append(summed_kl(context, image, region.mask[image], weights))
    assert_values(FittingBoxes(br_weight='teacher_iou')(context), expected)


def test_feature_fitting_boxes_weighted_by_the_students_score():
    """The best of the new classes, which gets no gradient from it."""
    teacher = random_maps(2, 3)
    student = student_of(teacher, 2)
    context = as_context(teacher, student, BOXES)
    scores = context.student.classes[..., 3:].sigmoid().amax(dim=2)
    mask = context.fitting().mask
    expected = [summed_kl(context, i, mask[i], scores[i]) for i in range(2)]
    found = FittingBoxes(br_weight='student_score')(context)
    assert_values(found, expected)
    found[0].sum().backward()
    assert all(level.grad is None for level in student.classes)
    assert all(level.grad is not None for level in student.boxes)


@pytest.mark.parametrize('weight', ['prior_iou', 'teacher_iou', 'student_score'])
def test_feature_weight_sum_is_a_weighted_mean(weight):
    """Equal divergence everywhere is its own mean, whatever the weights."""
    teacher = random_maps(2, 1)
    bins = torch.zeros(17)
    bins[3], bins[4] = 5.0, 4.0
    for level in teacher.boxes:
        level[:] = bins.repeat(4)[None, :, None, None]
    student = student_of(teacher, 1, gap=0.0)
    target = torch.zeros(17)
    target[5] = 5.0
    boxes = [target.repeat(4)[None, :, None, None].expand_as(x) for x in teacher.boxes]
    context = as_context(teacher, student._replace(boxes=boxes), BOXES)
    term = FittingBoxes(br_weight=weight, norm='weight_sum')
    values, sizes = term(context)
    assert (sizes > 1).all()
    assert values.tolist() == [pytest.approx(0.1369943, abs=2e-6)] * 2
    summed = FittingBoxes(br_weight=weight)(context)[0]
    assert not torch.allclose(summed, values)


def test_feature_fitting_boxes_settings():
    """Candidates a level and temperature mean something."""
    context = random_context()
    fewer = FittingBoxes(topk=4)(context)
    assert fewer[1].tolist() == context.fitting(4).mask.sum(dim=1).tolist()
    assert fewer[1].sum() < FittingBoxes()(context)[1].sum()
    region = context.fitting()
    expected = sum(
        region.iou[0, prior].item() * box_kl(context, 0, prior, 2.0) / 4
        for prior in region.mask[0].nonzero().flatten()
    )
    found = FittingBoxes(temperature=2.0)(context)[0]
    assert found[0].item() == pytest.approx(expected, rel=2e-5)


# (c) features


def test_feature_difficult_features():
    """Level by level the mean over locations and channels, summed over levels."""
    context = random_context()
    masks = context.difficult().split(context.level_sizes, dim=1)
    expected = []
    for image in range(2):
        total = 0.0
        for level, mask in enumerate(masks):
            theirs = context.teacher.features[level][image].flatten(1).T[mask[image]]
            ours = context.student.features[level][image].flatten(1).T[mask[image]]
            if len(ours):
                total += (ours - theirs).double().square().mean().item()
        expected.append(total)
    found = DifficultFeatures()(context)
    assert_values(found, expected)
    assert found[1].tolist() == context.difficult().sum(dim=1).tolist()
    # A level without any location costs nothing.
    assert [int(mask.sum()) > 0 for mask in masks] == [True, True, False]


def test_feature_difficult_ratio():
    context = random_context()
    sizes = DifficultFeatures(ratio=0.9)(context)[1]
    assert sizes.tolist() == context.difficult(0.9).sum(dim=1).tolist()
    assert (sizes < context.difficult().sum(dim=1)).all()


# 44 x 43 pixels: region FR lies on two levels, region BR on the first alone.
ONE_LEVEL = ((20.3, 33.1, 64.3, 75.7),)


def test_feature_released_features_lose_levels_without_a_fit():
    """SD-IDD specification D7: the second level's features count for nothing there."""
    context = random_context(boxes=(ONE_LEVEL,))
    fits = [bool(m.any()) for m in context.fitting().mask.split((144, 36, 9), dim=1)]
    near = [int(m.sum()) for m in context.difficult().split((144, 36, 9), dim=1)]
    assert fits == [True, False, False]
    assert near[0] > 0
    assert near[1] > 0
    levels = [
        (ours - theirs).square().mean(dim=1).flatten(1)
        for ours, theirs in zip(
            context.student.features, context.teacher.features, strict=True
        )
    ]
    masks = context.difficult().split((144, 36, 9), dim=1)
    first = levels[0][masks[0]].mean().item()
    values, sizes = DifficultFeatures(released=True)(context)
    assert values.tolist() == [pytest.approx(first, rel=1e-5)]
    assert sizes.tolist() == [near[0]]
    complete, sizes = DifficultFeatures()(context)
    assert sizes.tolist() == [sum(near)]
    assert complete.item() > first + 0.01


def test_feature_released_features_are_one_mean_over_the_batch():
    """An image with more locations weighs more; a fit in any image keeps the level."""
    context = random_context(boxes=(BOXES[0], ONE_LEVEL))
    fits = context.fitting().mask.split((144, 36, 9), dim=1)
    kept = [bool(level.any()) for level in fits]
    assert kept == [True, True, False]
    masks = context.difficult().split((144, 36, 9), dim=1)
    assert not masks[2].any()
    expected = sum(
        (ours - theirs).square().mean(dim=1).flatten(1)[mask].mean().item()
        for ours, theirs, mask in zip(
            context.student.features[:2],
            context.teacher.features[:2],
            masks[:2],
            strict=True,
        )
    )
    values, _ = DifficultFeatures(released=True)(context)
    assert values.tolist() == [pytest.approx(expected, rel=1e-5)] * 2
    own, _ = DifficultFeatures()(context)
    assert not torch.allclose(own, values)


# ERD's boxes


def naive_nms(boxes, scores, classes, threshold):
    """Greedy, one class at a time."""
    kept = []
    for index in scores.argsort(descending=True).tolist():
        same = [k for k in kept if classes[k] == classes[index]]
        if all(box_iou(boxes[[k]], boxes[[index]]) <= threshold for k in same):
            kept.append(index)
    return kept


@pytest.mark.parametrize('released', [False, True])
def test_feature_elastic_boxes(released):
    """Salient teacher boxes, thinned by NMS, weighted by the student's old score."""
    context = random_context()
    expected, counts = [], []
    for image in range(2):
        logits = context.teacher.boxes[image]
        strength = logits.flatten(1).amax(dim=1).double()
        prior = strength > strength.mean() + 2 * strength.std(unbiased=True)
        prior = prior.nonzero().flatten()
        stride = context.strides[prior, None]
        sides = Integral(16)(logits[prior].flatten(1))
        sides = sides if released else sides * stride
        boxes = DistancePointBBoxCoder().decode(context.points[prior], sides)
        scores, classes = context.teacher_scores[image, prior].max(dim=1)
        prior = prior[naive_nms(boxes, scores, classes, 0.005)]
        weights = context.student.classes[image, :, :3].sigmoid().amax(dim=1)
        mask = torch.zeros(189, dtype=torch.bool)
        mask[prior] = True
        expected.append(summed_kl(context, image, mask, weights))
        counts.append(len(prior))
    found = ElasticBoxes(released=released)(context)
    assert_values(found, expected)
    assert found[1].tolist() == counts


def two_salient_boxes(classes=(0, 0)):
    """Two neighbours of the last level, whose boxes are one stride to each side."""
    teacher = random_maps(1, 2).map(torch.zeros_like)
    for column, name in enumerate(classes):
        teacher.boxes[2][0, 1::17, 1, column] = 20.0
        teacher.classes[2][0, name, 1, column] = 4.0 - column
    return as_context(teacher, student_of(teacher, 1), [BOXES[1]])


def test_feature_elastic_boxes_released_decoding():
    """SD-IDD specification D3: in strides, coarse boxes are too small to suppress.

    64 pixels wide and 32 apart, the boxes overlap by a third; with sides in strides
    they are 2 pixels wide.
    """
    context = two_salient_boxes()
    assert ElasticBoxes()(context)[1].tolist() == [1]
    assert ElasticBoxes(released=True)(context)[1].tolist() == [2]
    assert ElasticBoxes(nms_iou=0.34)(context)[1].tolist() == [2]
    assert ElasticBoxes(nms_iou=0.32)(context)[1].tolist() == [1]


def test_feature_elastic_boxes_of_two_classes_do_not_suppress():
    context = two_salient_boxes((0, 1))
    assert ElasticBoxes()(context)[1].tolist() == [2]


@pytest.mark.parametrize('classes', [(0, 1), (1, 0)])
def test_feature_elastic_boxes_across_the_border(classes):
    """Top left and bottom right, each 128 pixels wide: another class is no rival.

    mmcv keeps classes apart by the largest coordinate, which takes none for negative.
    """
    teacher = random_maps(1, 2).map(torch.zeros_like)
    for place, name in zip((0, 2), classes, strict=True):
        teacher.boxes[2][0, 2::17, place, place] = 20.0
        teacher.classes[2][0, name, place, place] = 4.0 - place
    context = as_context(teacher, student_of(teacher, 1), [BOXES[1]])
    assert ElasticBoxes()(context)[1].tolist() == [2]


def test_feature_elastic_boxes_of_an_even_teacher():
    """No box stands out: an empty region, a connected zero."""
    teacher = random_maps(2, 3)
    teacher = teacher._replace(boxes=[torch.ones_like(x) for x in teacher.boxes])
    student = student_of(teacher, 2)
    values, sizes = ElasticBoxes()(as_context(teacher, student, BOXES))
    assert sizes.tolist() == [0, 0]
    assert values.tolist() == [0, 0]
    values.sum().backward()
    assert all(level.grad.eq(0).all() for level in student.boxes)


# The release's own, and ours


def test_feature_released_classes():
    """Between the new logits of the student and the old ones of the teacher."""
    context = random_context(old=2, new=2)
    mask = context.fitting().mask
    expected = []
    for image in range(2):
        q = (context.teacher.classes[image].double() / 2).softmax(dim=1)
        p = (context.student.classes[image, :, 2:].double() / 2).softmax(dim=1)
        kl = 4 * (q * (q / p).log()).mean(dim=1)
        expected.append(kl[mask[image]].mean().item())
    found = ReleasedClasses()(context)
    assert_values(found, expected)
    assert found[1].tolist() == mask.sum(dim=1).tolist()


def test_exception_released_classes_of_unequal_number():
    with pytest.raises(ValueError, match=r'not 2 and 3; set released_classes=False'):
        ReleasedClasses()(random_context(old=3, new=2))


def test_feature_soft_quality():
    """QFL towards the teacher's scores over their sum, which counts as 1 at least."""
    context = random_context()
    target = context.teacher.classes.double().sigmoid()
    score = context.student.classes[..., :3].double().sigmoid()
    entropy = -(target * score.log() + (1 - target) * (1 - score).log())
    total = ((score - target).abs() ** 2 * entropy).sum(dim=(1, 2))
    positives = target.amax(dim=2).sum(dim=1)
    assert (positives > 1).all()
    assert_values(SoftQuality()(context), (total / positives).tolist())
    huge = SoftQuality(floor=1e4)(context)
    assert_values(huge, (total / 1e4).tolist())


# All of them


@pytest.mark.parametrize('term', [*TERMS, ReleasedClasses])
def test_feature_new_and_old_channels(term):
    """Each term reaches what it compares: no other output, no other channel."""
    teacher = random_maps(2, 2)
    student = student_of(teacher, 2)
    values, _ = term()(as_context(teacher, student, BOXES))
    values.sum().backward()
    touched = {
        name: [level.grad is not None and bool(level.grad.any()) for level in part]
        for name, part in student._asdict().items()
    }
    expected = {
        OldLogits: 'classes',
        SoftQuality: 'classes',
        ReleasedClasses: 'classes',
        DifficultFeatures: 'features',
    }.get(term, 'boxes')
    assert {name for name, levels in touched.items() if any(levels)} == {expected}
    if expected == 'classes':
        gradients = torch.cat([x.grad.flatten(2) for x in student.classes], dim=2)
        reached = gradients.abs().amax(dim=(0, 2)) > 0
        ours = [False, False, True, True]
        assert reached.tolist() == (
            ours if term is ReleasedClasses else [not new for new in ours]
        )


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: OldLogits(region='fitting'), r"region='fitting': .* confident, all"),
        (lambda: FittingBoxes(region='all'), r"region='all': .* fitting, ring"),
        (lambda: FittingBoxes(br_weight='iou'), r"br_weight='iou': .* prior_iou"),
        (lambda: FittingBoxes(norm='mean'), r"norm='mean': .* sum, weight_sum"),
        (
            lambda: OldLogits(weight=-0.5),
            r'OldLogits\.weight=-0\.5: expected at least 0',
        ),
    ],
)
def test_exception_settings(build, message):
    with pytest.raises(ValueError, match=message):
        build()
