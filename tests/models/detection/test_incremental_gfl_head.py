"""The head of the new classes is mmdet's GFL head of the new classes."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmdefect.models.detection.incremental_gfl_head import IncrementalGFLHead
from tests.models.detection.conftest import build

HEAD = {
    'in_channels': 16,
    'feat_channels': 16,
    'stacked_convs': 1,
    'norm_cfg': {'type': 'GN', 'num_groups': 4},
    'anchor_generator': {
        'type': 'AnchorGenerator',
        'ratios': [1.0],
        'octave_base_scale': 4,
        'scales_per_octave': 1,
        'strides': [8, 16, 32],
    },
    'loss_cls': {'type': 'QualityFocalLoss', 'use_sigmoid': True, 'loss_weight': 2.0},
    'loss_dfl': {'type': 'DistributionFocalLoss', 'loss_weight': 0.25},
    'loss_bbox': {'type': 'GIoULoss', 'loss_weight': 2.0},
    'train_cfg': {
        'assigner': {'type': 'ATSSAssigner', 'topk': 9},
        'allowed_border': -1,
        'pos_weight': -1,
    },
    'test_cfg': {
        'nms_pre': 1000,
        'score_thr': 0.0,
        'nms': {'type': 'nms', 'iou_threshold': 0.6},
        'max_per_img': 100,
    },
}
META = {
    'img_shape': (96, 96),
    'pad_shape': (96, 96),
    'ori_shape': (96, 96),
    'scale_factor': (1.0, 1.0),
}


def make_head(kind='IncrementalGFLHead', **kwargs):
    head = build(ConfigDict({**HEAD, **kwargs}, type=f'mmdefect.{kind}'))
    torch.manual_seed(0)
    head.init_weights()
    torch.nn.init.normal_(head.gfl_cls.weight, std=0.1)
    return head


def features():
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.randn(2, 16, size, size, generator=generator) for size in (12, 6, 3)
    )


def truths(*labels, boxes=2):
    found = torch.tensor([[8.0, 8.0, 40.0, 44.0], [30.0, 20.0, 90.0, 88.0]])[:boxes]
    return [
        InstanceData(bboxes=found, labels=torch.tensor(pair)[:boxes]) for pair in labels
    ]


def losses_of(head, gt):
    maps = head(features())
    return head.loss_by_feat(*maps, gt, [META] * len(gt))


def assert_equal_losses(found, expected):
    assert found.keys() == expected.keys() == {'loss_cls', 'loss_bbox', 'loss_dfl'}
    for key, levels in expected.items():
        assert len(levels) == 3
        assert sum(levels) > 0
        for ours, theirs in zip(found[key], levels, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


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
    found = losses_of(head, truths(*[(old + a, old + b) for a, b in pairs]))
    assert_equal_losses(found, losses_of(sliced, truths(*pairs)))


def test_feature_without_old_classes_it_is_gfl_head():
    head = make_head(num_classes=4)
    plain = make_head('GFLHead', num_classes=4)
    plain.load_state_dict(head.state_dict())
    assert head.num_old_classes == 0
    gt = truths((0, 3), (2, 1))
    expected = losses_of(plain, gt)
    for key, levels in losses_of(head, gt).items():
        assert all(map(torch.equal, levels, expected[key]))


def test_feature_old_rows_get_no_detection_loss():
    """Neither a gradient, nor does a loss depend on them."""
    head = make_head(num_classes=5, num_old_classes=2)
    gt = truths((2, 4), (3, 3))
    losses = losses_of(head, gt)
    sum(sum(levels) for levels in losses.values()).backward()
    for parameter in (head.gfl_cls.weight, head.gfl_cls.bias):
        assert parameter.grad[:2].abs().max() == 0
        assert all(row.abs().max() > 0 for row in parameter.grad[2:])
    with torch.no_grad():
        head.gfl_cls.weight[:2] = 9.0
        head.gfl_cls.bias[:2] = 9.0
    changed = losses_of(head, gt)
    for key, levels in losses.items():
        assert all(map(torch.equal, levels, changed[key]))


def test_feature_prediction_knows_all_classes():
    """Training changes nothing in the head; old and new classes compete."""
    head = make_head(num_classes=5, num_old_classes=2)
    losses_of(head, truths((2, 4), (3, 3)))
    assert (head.num_classes, head.cls_out_channels) == (5, 5)
    plain = make_head('GFLHead', num_classes=5)
    plain.load_state_dict(head.state_dict())
    found = []
    for some in (head, plain):
        with torch.no_grad():
            outputs = some(features())
        found.append(some.predict_by_feat(*outputs, batch_img_metas=[META, META]))
    for ours, theirs in zip(*found, strict=True):
        assert set(theirs.labels.tolist()) == {0, 1, 2, 3, 4}
        assert torch.equal(ours.bboxes, theirs.bboxes)
        assert torch.equal(ours.scores, theirs.scores)
        assert torch.equal(ours.labels, theirs.labels)


def test_feature_samples_are_left_alone():
    """Labels stay global for whoever reads them next."""
    head = make_head(num_classes=5, num_old_classes=2)
    gt = truths((2, 4), (3, 3))
    before = copy.deepcopy(gt)
    losses_of(head, gt)
    for found, given in zip(gt, before, strict=True):
        assert torch.equal(found.labels, given.labels)
        assert torch.equal(found.bboxes, given.bboxes)


def test_feature_images_without_boxes():
    head = make_head(num_classes=5, num_old_classes=2)
    losses = losses_of(head, truths((2, 4), (3, 3), boxes=0))
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
    maps = head(features())
    without = head.loss_by_feat(*maps, gt, [META] * 2)
    found = head.loss_by_feat(*maps, gt, [META] * 2, ignored)
    assert sum(found['loss_cls']) < sum(without['loss_cls'])


@pytest.mark.parametrize('label', [0, 1])
def test_exception_label_of_an_old_class(label):
    head = make_head(num_classes=5, num_old_classes=2)
    message = rf'has labels from {label} to 3: expected new classes, 2 to 4.*keep_class'
    with pytest.raises(ValueError, match=message):
        losses_of(head, truths((2, 4), (3, label)))


def test_exception_label_above_the_last_class():
    """SD-IDD specification D18: mmdet would train it as background, in silence."""
    head = make_head(num_classes=5, num_old_classes=2)
    message = 'has labels from 2 to 5: expected new classes, 2 to 4.*seen_classes'
    with pytest.raises(ValueError, match=message):
        losses_of(head, truths((2, 5), (3, 3)))


@pytest.mark.parametrize('old', [-1, 4, 5])
def test_exception_no_new_class(old):
    with pytest.raises(ValueError, match=rf'num_old_classes {old} of 4 classes was'):
        make_head(num_classes=4, num_old_classes=old)


def test_feature_arguments_reach_mmdets_head():
    """SD-IDD specification D8: none is dropped."""
    settings = {
        'num_classes': 4,
        'stacked_convs': 3,
        'feat_channels': 8,
        'norm_cfg': {'type': 'GN', 'num_groups': 2},
        'conv_cfg': {'type': 'Conv2d'},
        'reg_max': 8,
        'loss_dfl': {'type': 'DistributionFocalLoss', 'loss_weight': 0.5},
        'bbox_coder': {'type': 'DistancePointBBoxCoder', 'clip_border': False},
        'init_cfg': {'type': 'Constant', 'layer': 'Conv2d', 'val': 0.5},
    }
    head = make_head(**settings, num_old_classes=2)
    plain = make_head('GFLHead', **settings)
    assert {k: v.shape for k, v in head.state_dict().items()} == {
        k: v.shape for k, v in plain.state_dict().items()
    }
    assert head.gfl_reg.out_channels == 4 * 9
    assert head.gfl_reg.weight.eq(0.5).all()
    assert len(head.cls_convs) == len(head.reg_convs) == 3
    assert head.cls_convs[0].norm.num_groups == 2
    assert head.conv_cfg == {'type': 'Conv2d'}
    assert head.integral.reg_max == 8
    assert head.loss_dfl.loss_weight == 0.5
    assert head.bbox_coder.clip_border is False
    losses = losses_of(head, truths((2, 3), (3, 2)))
    assert sum(losses['loss_dfl']).isfinite()


def test_feature_positional_arguments():
    """As mmdet's: number of classes, then channels."""
    settings = ConfigDict({k: v for k, v in HEAD.items() if k != 'in_channels'})
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = IncrementalGFLHead(6, 12, num_old_classes=4, **settings)
    assert head.gfl_cls.out_channels == 6
    assert head.cls_convs[0].conv.in_channels == 12
    assert head.num_old_classes == 4
