"""The head of the new classes is mmdet's GFL head of the new classes."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmdefect.models.detection.incremental_gfl_head import IncrementalGFLHead
from tests.models.detection import conftest
from tests.models.detection.conftest import (
    HEAD,
    META,
    head_features,
    losses_of_head,
    truths,
)


def make_head(kind='IncrementalGFLHead', **changes):
    return conftest.make_head(f'mmdefect.{kind}', **changes)


@pytest.mark.parametrize(('old', 'new'), [(3, 3), (1, 2), (4, 1)])
def test_feature_equals_a_head_of_the_new_classes(old, new):
    """mmdet's loss on the sliced problem: the new rows, labels counted from them."""
    head = make_head(num_classes=old + new, num_old_classes=old)
    sliced = make_head('GFLHead', num_classes=new)
    state = head.state_dict()
    for key in ('gfl_cls.weight', 'gfl_cls.bias'):
        state[key] = state[key][old:]
    sliced.load_state_dict(state)
    pairs = [(0, new - 1), (new - 1, 0)]
    found = losses_of_head(head, truths(*[(old + a, old + b) for a, b in pairs]))
    expected = losses_of_head(sliced, truths(*pairs))
    assert found.keys() == expected.keys() == {'loss_cls', 'loss_bbox', 'loss_dfl'}
    for key, levels in expected.items():
        assert sum(levels) > 0
        torch.testing.assert_close(found[key], levels, rtol=1e-6, atol=0)


def test_feature_without_old_classes_it_is_gfl_head():
    head = make_head(num_classes=4)
    plain = make_head('GFLHead', num_classes=4)
    plain.load_state_dict(head.state_dict())
    assert head.num_old_classes == 0
    gt = truths((0, 3), (2, 1))
    expected = losses_of_head(plain, gt)
    for key, levels in losses_of_head(head, gt).items():
        assert all(map(torch.equal, levels, expected[key]))


def test_feature_old_rows_get_no_detection_loss():
    """Neither a gradient, nor does a loss depend on them."""
    head = make_head(num_classes=5, num_old_classes=2)
    gt = truths((2, 4), (3, 3))
    losses = losses_of_head(head, gt)
    sum(sum(levels) for levels in losses.values()).backward()
    for parameter in (head.gfl_cls.weight, head.gfl_cls.bias):
        assert parameter.grad[:2].abs().max() == 0
        assert all(row.abs().max() > 0 for row in parameter.grad[2:])
    with torch.no_grad():
        head.gfl_cls.weight[:2] = 9.0
        head.gfl_cls.bias[:2] = 9.0
    changed = losses_of_head(head, gt)
    for key, levels in losses.items():
        assert all(map(torch.equal, levels, changed[key]))


def test_feature_samples_are_left_alone():
    """Labels stay global for whoever reads them next."""
    head = make_head(num_classes=5, num_old_classes=2)
    gt = truths((2, 4), (3, 3))
    before = copy.deepcopy(gt)
    losses_of_head(head, gt)
    for found, given in zip(gt, before, strict=True):
        assert torch.equal(found.labels, given.labels)
        assert torch.equal(found.bboxes, given.bboxes)
    # So does the head, for predictions.
    assert (head.num_classes, head.cls_out_channels) == (5, 5)


def test_feature_images_without_boxes():
    head = make_head(num_classes=5, num_old_classes=2)
    losses = losses_of_head(head, truths((2, 4), (3, 3), boxes=0))
    assert sum(losses['loss_cls']) > 0
    assert sum(losses['loss_bbox']) == sum(losses['loss_dfl']) == 0
    sum(sum(levels) for levels in losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in head.parameters())


def test_feature_ignored_boxes_are_passed_on():
    """Priors on an ignored box are no background: mmdet gives them no weight."""
    assigner = {'type': 'ATSSAssigner', 'topk': 9, 'ignore_iof_thr': 0.1}
    train_cfg = {**HEAD['train_cfg'], 'assigner': assigner}
    head = make_head(num_classes=5, num_old_classes=2, train_cfg=train_cfg)
    gt = truths((2, 4), (3, 3), boxes=1)
    ignored = [InstanceData(bboxes=torch.tensor([[50.0, 50.0, 96.0, 96.0]]))] * 2
    maps = head(head_features())
    without = head.loss_by_feat(*maps, gt, [META] * 2)
    found = head.loss_by_feat(*maps, gt, [META] * 2, ignored)
    assert sum(found['loss_cls']) < sum(without['loss_cls'])


@pytest.mark.parametrize(('label', 'given'), [(1, '1 to 3'), (5, '3 to 5')])
def test_exception_label_of_no_new_class(label, given):
    """SD-IDD specification D18: mmdet would train 5 as background, in silence."""
    head = make_head(num_classes=5, num_old_classes=2)
    message = f'labels from {given}: expected new classes, 2 to 4'
    with pytest.raises(ValueError, match=message):
        losses_of_head(head, truths((2, 4), (3, label)))


@pytest.mark.parametrize('old', [-1, 4, 5])
def test_exception_no_new_class(old):
    with pytest.raises(ValueError, match=rf'num_old_classes={old}: .* num_classes=4'):
        make_head(num_classes=4, num_old_classes=old)


def test_feature_positional_arguments():
    """As mmdet's: number of classes, then channels."""
    settings = ConfigDict({k: v for k, v in HEAD.items() if k != 'in_channels'})
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = IncrementalGFLHead(6, 12, num_old_classes=4, **settings)
    assert head.gfl_cls.out_channels == 6
    assert head.cls_convs[0].conv.in_channels == 12
    assert head.num_old_classes == 4
