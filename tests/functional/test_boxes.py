"""Box geometry, against hand computation, torchvision and mmdet."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.dense_heads.gfl_head import Integral
from mmdet.models.task_modules import DistancePointBBoxCoder
from mmdet.structures.bbox import bbox_overlaps
from torchvision.ops import distance_box_iou

from mmdefect.functional.boxes import (
    aligned_iou,
    decode_distribution,
    pairwise_diou,
    pairwise_iou,
)

# Inside, shifted by a half, touching, apart.
BOXES = torch.tensor(
    [
        [0.0, 0.0, 10.0, 10.0],
        [5.0, 0.0, 15.0, 10.0],
        [10.0, 0.0, 20.0, 10.0],
        [30.0, 40.0, 31.0, 42.0],
    ],
    dtype=torch.float64,
)
OTHER = torch.tensor([[0.0, 0.0, 10.0, 5.0]], dtype=torch.float64)


def random_boxes(count, seed, size=96.0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=generator, dtype=torch.float64) * size
    low, high = corners.aminmax(dim=1)
    return torch.cat([low, high], dim=1)


def test_feature_iou_by_hand():
    # 50 / 100; 25 / (100 + 50 - 25); no area in common; none at all.
    expected = torch.tensor([[0.5], [0.2], [0.0], [0.0]], dtype=torch.float64)
    torch.testing.assert_close(pairwise_iou(BOXES, OTHER), expected)
    torch.testing.assert_close(aligned_iou(BOXES, OTHER.expand(4, 4)), expected[:, 0])


def test_feature_diou_by_hand():
    # Squared distance of centres over squared diagonal of the box around both:
    # 2.5^2 / (10^2 + 10^2), (5^2 + 2.5^2) / (15^2 + 10^2), (10^2 + 2.5^2) / (20^2 +
    # 10^2), (25.5^2 + 38.5^2) / (31^2 + 42^2).
    penalty = [6.25 / 200, 31.25 / 325, 106.25 / 500, 2132.5 / 2725]
    expected = torch.tensor([0.5, 0.2, 0.0, 0.0]) - torch.tensor(penalty)
    found = pairwise_diou(BOXES, OTHER)
    torch.testing.assert_close(found[:, 0], expected.double(), atol=1e-7, rtol=0)


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


def test_feature_empty_boxes_have_no_overlap():
    """A box without area has IoU 0 even with itself, and nothing is NaN."""
    point = torch.tensor([[3.0, 4.0, 3.0, 4.0]])
    assert pairwise_iou(point, point).item() == 0
    assert aligned_iou(point, point).item() == 0
    assert pairwise_diou(point, point).item() == 0


def test_feature_decode_by_hand():
    """Strides to each side: the bin of a certain side, the mean of an even one."""
    logits = torch.full((1, 4, 5), -100.0, dtype=torch.float64)
    for side, number in enumerate((0, 1, 4)):
        logits[0, side, number] = 100.0
    logits[0, 3] = 7.0  # any bin as likely: 2 strides
    point = torch.tensor([[50.0, 60.0]], dtype=torch.float64)
    stride = torch.tensor([8.0], dtype=torch.float64)
    box = decode_distribution(logits, point, stride)
    torch.testing.assert_close(box, torch.tensor([[50.0, 52.0, 82.0, 76.0]]).double())


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
