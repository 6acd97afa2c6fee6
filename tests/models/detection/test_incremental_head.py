"""Remembered and rehearsed images beside new ones, in the loss of a head."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.models.detection.conftest import (
    META,
    head_features,
    losses_of_head,
    make_head,
    truths,
)

OLD, ALL = 2, 5
PRIORS = 144 + 36 + 9
NEW = {}
REPLAYED = {'replayed': True}
REHEARSED = {'rehearsed': True}


def make_pair():
    """An incremental head, and mmdet's of all classes with the same weights."""
    ours = make_head(
        'mmdefect.IncrementalGFLHead', num_classes=ALL, num_old_classes=OLD
    )
    theirs = make_head('mmdet.GFLHead', num_classes=ALL)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs


def marked(head, gt, *marks, maps=None):
    maps = head(head_features()) if maps is None else maps
    return head.loss_by_feat(*maps, gt, [{**META, **mark} for mark in marks])


def total(losses):
    return sum(sum(levels) for levels in losses.values())


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, levels in expected.items():
        assert all(map(torch.equal, found[key], levels)), key


def test_feature_remembered_images_have_mmdets_loss():
    """To the last bit, of old and new classes."""
    ours, theirs = make_pair()
    gt = truths((0, 4), (1, 2))
    found = marked(ours, gt, REPLAYED, REPLAYED)
    assert_equal(found, losses_of_head(theirs, gt))
    total(found).backward()
    assert all(row.abs().max() > 0 for row in ours.gfl_cls.weight.grad)


@pytest.mark.parametrize('mark', [{}, {'replayed': False}, {'rehearsed': False}])
def test_feature_without_marks_nothing_changes(mark):
    """To the last bit, whether a mark is absent or false."""
    ours, _ = make_pair()
    gt = truths((2, 4), (3, 3))
    assert_equal(marked(ours, gt, mark, mark), losses_of_head(ours, gt))


def test_feature_every_prior_weighs_the_same():
    """Of a new image the loss of the new classes, of a remembered one mmdet's.

    Divided by the positives of both. Alone, an image is divided by its own.
    """
    ours, theirs = make_pair()
    for head in (ours, theirs):  # so sure that no sum of weights is clamped to 1
        nn.init.zeros_(head.gfl_cls.bias)
    maps = ours(head_features())
    gt = truths((2, 4), (1, 0))
    each, positives = [], []
    for image, head in enumerate((ours, theirs)):
        own = [[level[image : image + 1] for level in part] for part in maps]
        each.append(head.loss_by_feat(*own, gt[image : image + 1], [META]))
        sizes = [level.shape[-2:] for level in own[0]]
        anchors = head.get_anchors(sizes, [META], device='cpu')
        targets = head.get_targets(*anchors, gt[image : image + 1], [META])
        positives.append(targets[-1])
    assert positives[0] > 5
    assert positives[1] > 5
    found = marked(ours, gt, NEW, REPLAYED, maps=maps)
    sums = [sum(part['loss_cls']) * n for part, n in zip(each, positives, strict=True)]
    expected = sum(sums) / sum(positives)
    torch.testing.assert_close(sum(found['loss_cls']), expected, rtol=1e-5, atol=0)
    # Boxes are divided by the sum of their weights, so they lie between the two.
    for key in ('loss_bbox', 'loss_dfl'):
        low, high = sorted(sum(part[key]).item() for part in each)
        assert low < sum(found[key]).item() < high


@pytest.mark.parametrize(
    ('marks', 'channels'),
    [((NEW, NEW), 6), ((NEW, REPLAYED), 8), ((REHEARSED, NEW), 6),
     ((REPLAYED, REPLAYED), 10)],
)  # fmt: skip
def test_feature_background_is_counted_in_channels(marks, channels):
    """At logit 0 a background channel costs ln 2 / 4, times the loss's weight of 2.

    An image without boxes counts as one positive, so the sum is halved.
    """
    ours, _ = make_pair()
    nn.init.zeros_(ours.gfl_cls.weight)
    nn.init.zeros_(ours.gfl_cls.bias)
    found = marked(ours, truths((2, 2), (2, 2), boxes=0), *marks)
    expected = 2 * channels * PRIORS * math.log(2) / 4 / 2
    assert sum(found['loss_cls']).item() == pytest.approx(expected, rel=1e-5)


def test_feature_pasted_objects_teach_where_they_lie():
    """Old channels have a gradient at the positives of the old box, nowhere else."""
    ours, _ = make_pair()
    maps = ours(head_features())
    leaves = [level.detach().requires_grad_() for level in maps[0]]
    gt = truths((1, 3), (3, 3))  # an old box and a new one, then new ones
    losses = marked(ours, gt, REHEARSED, NEW, maps=(leaves, maps[1]))
    sum(losses['loss_cls']).backward()
    sizes = [level.shape[-2:] for level in leaves]
    anchors = ours.get_anchors(sizes, [META] * 2, device='cpu')
    labels = ours.get_targets(*anchors, gt, [META] * 2)[1]
    taught = 0
    for level, found in zip(leaves, labels, strict=True):
        old = (found == 1).view_as(level.grad[:, 0])
        assert torch.equal(level.grad[:, :OLD].abs().sum(1) > 0, old)
        # As background, too: the pasted object is of one kind.
        assert (level.grad[:, 0][old] > 0).all()
        assert (level.grad[:, OLD:].abs().sum(1) > 0).all()
        taught += int(old.sum())
    assert taught == 5


def test_feature_images_of_one_kind_do_not_mix():
    """Old channels of a new image beside a remembered one stay without a gradient."""
    ours, _ = make_pair()
    maps = ours(head_features())
    leaves = [level.detach().requires_grad_() for level in maps[0]]
    gt = truths((2, 3), (0, 1))
    losses = marked(ours, gt, NEW, REPLAYED, maps=(leaves, maps[1]))
    total(losses).backward()
    for level in leaves:
        assert level.grad[0, :OLD].abs().max() == 0
        assert level.grad[1, :OLD].abs().min() > 0
        assert level.grad[:, OLD:].isfinite().all()


def test_feature_in_half_precision():
    """A silenced logit neither overflows nor becomes NaN."""
    ours, _ = make_pair()
    gt = truths((2, 3), (0, 1))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = marked(ours, gt, NEW, REPLAYED)
    total(losses).backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters())
    expected = marked(ours, gt, NEW, REPLAYED)
    torch.testing.assert_close(total(losses), total(expected), rtol=0.02, atol=0)


def test_feature_boxes_at_risk():
    """Around new boxes and those of remembered images, not around pasted ones."""
    ours, _ = make_pair()
    (gt,) = truths((1, 3))
    assert ours.new_boxes(gt, META).tolist() == gt.bboxes.tolist()
    assert ours.new_boxes(gt, {**META, **REPLAYED}).tolist() == gt.bboxes.tolist()
    assert ours.new_boxes(gt, {**META, **REHEARSED}).tolist() == [[30, 20, 90, 88]]


@pytest.mark.parametrize('mark', [REPLAYED, REHEARSED])
def test_exception_remembered_label_of_no_class(mark):
    ours, _ = make_pair()
    message = (
        r'labels from 1 to 5 of a remembered image: expected known classes, 0 to 4'
    )
    with pytest.raises(ValueError, match=message):
        marked(ours, truths((2, 3), (1, 5)), NEW, mark)


def test_exception_old_label_beside_a_remembered_image():
    ours, _ = make_pair()
    with pytest.raises(ValueError, match='labels from 1 to 3: expected new classes'):
        marked(ours, truths((1, 3), (1, 2)), NEW, REPLAYED)


def test_feature_steps_of_a_head():
    def steps(**changes):
        head = make_head('mmdefect.IncrementalGFLHead', num_classes=ALL, **changes)
        return head.step_sizes

    assert steps() == [5]
    assert steps(num_old_classes=OLD) == [2, 3]
    assert steps(num_old_classes=4, step_sizes=(2, 2, 1)) == [2, 2, 1]


@pytest.mark.parametrize('sizes', [[2, 2], [3, 3], [6, -1], []])
def test_exception_steps_of_other_classes(sizes):
    with pytest.raises(ValueError, match=r'step_sizes=\[.* num_classes=5 together'):
        make_head('mmdefect.IncrementalGFLHead', num_classes=ALL, step_sizes=sizes)
