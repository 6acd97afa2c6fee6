from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdefect.models.detection import gfl_head

Losses = dict[str, list[Tensor]]
HEAD = {
    'num_classes': 6,
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
    'loss_cls': {'type': 'QualityFocalLoss', 'use_sigmoid': True, 'beta': 2.0},
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


@pytest.fixture
def heads() -> tuple[nn.Module, nn.Module]:
    """mmdet's head and ours, with the same weights."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        theirs = MODELS.build(ConfigDict(HEAD, type='mmdet.GFLHead'))
        ours = MODELS.build(ConfigDict(HEAD, type='mmdefect.GFLHead'))
    torch.manual_seed(0)
    theirs.init_weights()
    nn.init.normal_(theirs.gfl_cls.weight, std=0.1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return theirs, ours


def features() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple(
        torch.randn(2, 16, size, size, generator=generator, requires_grad=True)
        for size in (12, 6, 3)
    )


def truths(boxes: int = 2) -> list[InstanceData]:
    all_boxes = torch.tensor([[8.0, 8.0, 40.0, 44.0], [30.0, 20.0, 90.0, 88.0]])[:boxes]
    return [
        InstanceData(bboxes=all_boxes, labels=torch.tensor([first, 5])[:boxes])
        for first in (0, 3)
    ]


def losses_of(head: nn.Module, maps: Sequence[Tensor], boxes: int = 2) -> Losses:
    images = len(maps[0])
    gt = truths(boxes) * (images // 2)
    return head.loss_by_feat(*head(tuple(maps)), gt, [META] * images)


@pytest.mark.parametrize('boxes', [2, 0])
def test_feature_losses_equal_mmdets_bit_for_bit(
    boxes: int, heads: tuple[nn.Module, nn.Module]
) -> None:
    """With and without objects; gradients too."""
    results = []
    for head in heads:
        maps = features()
        losses = losses_of(head, maps, boxes)
        values = [value for key in sorted(losses) for value in losses[key]]
        sum(values).backward()
        grads = [tensor.grad for tensor in (*head.parameters(), *maps)]
        results.append([*values, *(grad for grad in grads if grad is not None)])
    theirs, ours = results
    assert len(theirs) > 9 + len(features())  # three losses on three levels, gradients
    assert sum(value.abs().sum() for value in theirs) > 0
    for found, expected in zip(ours, theirs, strict=True):
        assert torch.equal(found, expected)


def test_feature_predictions_equal_mmdets_bit_for_bit(
    heads: tuple[nn.Module, nn.Module],
) -> None:
    found = []
    for head in heads:
        with torch.no_grad():
            outputs = head(features())
        found.append(head.predict_by_feat(*outputs, batch_img_metas=[META, META]))
    for theirs, ours in zip(*found, strict=True):
        assert len(theirs) > 10
        assert torch.equal(ours.bboxes, theirs.bboxes)
        assert torch.equal(ours.scores, theirs.scores)
        assert torch.equal(ours.labels, theirs.labels)


def test_feature_normaliser_is_global(
    heads: tuple[nn.Module, nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes with the same images are one process with them twice.

    Equal processes need no communication: a mean over them is the value of each. The
    weights of a new head are so small that mmdet's clamp at 1 acts on every process.
    """
    theirs, ours = heads
    nn.init.zeros_(theirs.gfl_cls.weight)
    ours.load_state_dict(theirs.state_dict())
    maps = features()
    twice = losses_of(ours, [torch.cat([level, level]) for level in maps])
    monkeypatch.setattr(gfl_head, 'get_world_size', lambda: 2)
    shared = losses_of(ours, maps)
    for key in ('loss_cls', 'loss_bbox', 'loss_dfl'):
        torch.testing.assert_close(shared[key], twice[key], rtol=1e-5, atol=1e-7)
    # What is cured: one process of mmdet's sees half of it.
    ratio = sum(losses_of(theirs, maps)['loss_bbox']) / sum(twice['loss_bbox'])
    assert ratio.item() < 0.9
