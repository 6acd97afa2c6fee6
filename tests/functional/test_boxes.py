"""Box geometry, against torchvision and mmdet; by hand in the examples."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.dense_heads.gfl_head import Integral
from mmdet.models.task_modules import DistancePointBBoxCoder
from mmdet.structures.bbox import bbox_overlaps
from torchvision.ops import distance_box_iou, generalized_box_iou

from mmdefect.functional.boxes import (
    aligned_giou,
    aligned_iou,
    decode_distribution,
    pairwise_diou,
    pairwise_iou,
)


def random_boxes(count, seed, size=96.0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=generator, dtype=torch.float64) * size
    low, high = corners.aminmax(dim=1)
    return torch.cat([low, high], dim=1)


@pytest.mark.parametrize('seed', [0, 1])
def test_feature_equal_to_mmdet_and_torchvision(seed):
    boxes, others = random_boxes(20, seed), random_boxes(7, seed + 10)
    torch.testing.assert_close(
        pairwise_iou(boxes, others), bbox_overlaps(boxes, others)
    )
    torch.testing.assert_close(
        pairwise_diou(boxes, others),
        distance_box_iou(boxes, others),
        atol=1e-7,  # torchvision adds an epsilon to the diagonal
        rtol=1e-6,
    )
    torch.testing.assert_close(
        aligned_iou(boxes[:7], others), pairwise_iou(boxes[:7], others).diagonal()
    )
    torch.testing.assert_close(
        aligned_giou(boxes[:7], others),
        generalized_box_iou(boxes[:7], others).diagonal(),
    )


def test_feature_empty_boxes_have_no_overlap():
    """A box without area has IoU 0 even with itself, and nothing is NaN."""
    point = torch.tensor([[3.0, 4.0, 3.0, 4.0]])
    assert pairwise_iou(point, point).item() == 0
    assert aligned_iou(point, point).item() == 0
    assert pairwise_diou(point, point).item() == 0
    assert aligned_giou(point, point).item() == 0


def test_feature_decode_equals_mmdets():
    """mmdet works in strides: centres are divided, decoded boxes multiplied."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, 4, 17, generator=generator)
    points = 96 * torch.rand(6, 2, generator=generator)
    strides = torch.tensor([8.0, 8.0, 16.0, 16.0, 32.0, 32.0])
    sides = Integral(16)(logits.flatten(1))
    units = DistancePointBBoxCoder().decode(points / strides[:, None], sides)
    torch.testing.assert_close(
        decode_distribution(logits, points, strides), units * strides[:, None]
    )
