"""Regions of priors, against the specification's numbers and mmdet's assigner."""

from __future__ import annotations

import pytest
import torch
from mmdet.models.task_modules import AnchorGenerator, ATSSAssigner
from mmengine.structures import InstanceData

from mmdefect.functional.boxes import pairwise_diou, pairwise_iou
from mmdefect.functional.regions import (
    candidates,
    confident,
    difficult,
    ring,
    statistical,
)

STRIDES = (8, 16, 32, 64, 128)
SIZES = tuple((256 // stride) ** 2 for stride in STRIDES)
# SD-IDD specification vector 4, computed with NumPy: 256x256 pixels, 1364 priors of
# side 8 strides. Box; threshold; priors a level and IoU sum of region BR; the same of
# the ring; best IoU; priors a level of region FR.
TABLE = [
    (
        (60.3, 80.1, 151.4, 162.2),
        0.482934,
        ([9, 0, 0, 0, 0], 4.924827),
        ([84, 51, 0, 0, 0], 43.458367),
        0.547644,
        [69, 32, 0, 0, 0],
    ),
    (
        (20.3, 30.1, 41.8, 210.2),
        0.179909,
        ([9, 0, 0, 0, 0], 1.878598),
        ([94, 46, 7, 0, 0], 23.807309),
        0.208733,
        [145, 48, 0, 0, 0],
    ),
    (
        (98.3, 71.1, 113.4, 87.9),
        0.042862,
        ([4, 0, 0, 0, 0], 0.247734),
        ([13, 2, 0, 0, 0], 0.836104),
        0.061934,
        [62, 0, 0, 0, 0],
    ),
    (
        (30.3, 70.1, 111.4, 120.2),
        0.458327,
        ([9, 0, 0, 0, 0], 5.666555),
        ([59, 33, 0, 0, 0], 26.172954),
        0.647403,
        [42, 0, 0, 0, 0],
    ),
]
by_box = pytest.mark.parametrize(
    ('box', 'threshold', 'br', 'around', 'best', 'fr'), TABLE
)


def grid(strides=STRIDES, size=(256, 256), scale=8, dtype=torch.float64):
    """Priors as GFL has them, and how many each level holds."""
    generator = AnchorGenerator(
        strides=list(strides),
        ratios=[1.0],
        octave_base_scale=scale,
        scales_per_octave=1,
    )
    maps = [(size[0] // stride, size[1] // stride) for stride in strides]
    levels = generator.grid_priors(maps, dtype=dtype, device='cpu')
    return torch.cat(levels), tuple(map(len, levels))


def per_level(mask):
    return [int(level.sum()) for level in mask.split(SIZES)]


def as_tensor(*boxes):
    return torch.tensor(boxes, dtype=torch.float64)


def random_boxes(count, seed, size=96):
    """Boxes of 6 to 70 pixels a side, some of them across the border."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * size - 8
    sides = 6 + 64 * torch.rand(count, 2, generator=generator)
    return torch.cat([corner, corner + sides], dim=1)


def test_feature_confident_of_the_specification():
    """SD-IDD specification vector 1; a biased deviation would give 0.4252285."""
    scores = [0.01, 0.02, 0.01, 0.03, 0.02, 0.01, 0.02, 0.01, 0.60, 0.02]
    scores = torch.tensor(scores, dtype=torch.float64)
    assert confident(scores).nonzero().flatten().tolist() == [8]
    # The deviation is 0.1845866: (0.60 - 0.075) / 0.1845866 is 2.84419. A biased one
    # would still select at 2.99.
    assert confident(scores, num_std=2.8441).nonzero().flatten().tolist() == [8]
    assert not confident(scores, num_std=2.8443).any()


def test_feature_confident_is_strict():
    """What equals the threshold is not above it."""
    assert not confident(torch.full((9,), 0.25), num_std=2.0).any()
    scores = torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert confident(scores, num_std=0.0).tolist() == [False, False, True, True]
    assert not confident(torch.tensor([0.0, 1.0, 2.0]), num_std=1.0).any()


def test_feature_confident_leaves_padding_out():
    """Neither selected nor part of mean and deviation."""
    scores = torch.tensor([0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 9.0, 9.0])
    valid = torch.tensor([True] * 8 + [False] * 2)
    assert confident(scores, valid=valid).nonzero().flatten().tolist() == [3]
    assert confident(scores[:8]).nonzero().flatten().tolist() == [3]
    assert not confident(scores)[3]


@pytest.mark.parametrize('count', [0, 1])
def test_feature_confident_among_too_few(count):
    """No deviation, hence no selection; among two, the mean decides for 0 of them."""
    assert not confident(torch.ones(count)).any()
    valid = torch.arange(5) < count
    assert not confident(torch.arange(5.0), valid=valid).any()


# As in the specification, and as in training: the same priors.
@pytest.mark.parametrize(
    ('dtype', 'off'), [(torch.float64, 6e-7), (torch.float32, 2e-5)]
)
@by_box
def test_feature_regions_of_the_specification(
    box, threshold, br, around, best, fr, dtype, off
):
    priors, sizes = grid(dtype=dtype)
    assert sizes == SIZES
    boxes = as_tensor(box).to(dtype)
    assert candidates(priors, boxes, sizes).shape == (40, 1)  # 9 + 9 + 9 + 9 + 4
    region, thresholds = statistical(priors, boxes, sizes)
    assert thresholds.tolist() == [pytest.approx(threshold, abs=off)]
    assert per_level(region.mask) == br[0]
    assert region.iou.dtype == dtype
    assert region.iou.sum().item() == pytest.approx(br[1], abs=off)
    below = ring(priors, boxes, sizes)
    assert per_level(below.mask) == around[0]
    assert below.iou.sum().item() == pytest.approx(around[1], abs=off)
    assert not (below.mask & region.mask).any()
    ious = pairwise_iou(priors, boxes)
    assert ious.max().item() == pytest.approx(best, abs=off)
    assert per_level(difficult(priors, boxes)) == fr


def test_feature_regions_of_several_boxes():
    """The union of each box's region; a prior claimed twice goes where it fits best."""
    priors, sizes = grid()
    boxes = as_tensor(*[row[0] for row in TABLE], (64.3, 84.1, 155.4, 160.2))
    ious = pairwise_iou(priors, boxes)
    for find in (
        lambda b: statistical(priors, b, sizes)[0],
        lambda b: ring(priors, b, sizes),
    ):
        alone = [find(box[None]) for box in boxes]
        claims = torch.stack([region.mask for region in alone], dim=1)
        together = find(boxes)
        assert torch.equal(together.mask, claims.any(dim=1))
        assert claims.sum(dim=1).max() > 1
        assert torch.equal(
            together.owner[together.mask],
            (ious * claims)[together.mask].argmax(dim=1),
        )
        torch.testing.assert_close(together.iou, (ious * claims).amax(dim=1))
        assert not together.owner[~together.mask].any()
    fr = torch.stack([difficult(priors, box[None]) for box in boxes]).any(dim=0)
    assert torch.equal(difficult(priors, boxes), fr)


def test_feature_ring_bounds():
    """The lower bound belongs to the ring, the upper does not."""
    priors, sizes = grid()
    boxes = as_tensor(TABLE[0][0])
    _, (threshold,) = statistical(priors, boxes, sizes)
    diou = pairwise_diou(priors, boxes)[:, 0]
    for lower in (0.0, 0.25, 0.5, 1.0):
        found = ring(priors, boxes, sizes, lower=lower).mask
        assert found.sum() < len(priors)
        expected = (diou >= lower * threshold) & (diou < threshold)
        assert torch.equal(found, expected)
    # A lower bound that is the DIoU of a prior, to the last bit.
    single = diou[(diou > 0.3 * threshold) & (diou < 0.9 * threshold)].max()
    lower = (single / threshold).item()
    exact = diou >= lower * threshold
    assert torch.equal(
        ring(priors, boxes, sizes, lower=lower).mask, exact & (diou < threshold)
    )


def test_feature_threshold_itself_fits():
    """A prior at the threshold is in region BR and not in the ring.

    Two equal priors on two levels, around the centre of the box: no deviation, and IoU,
    DIoU and threshold are all 1/4.
    """
    priors = as_tensor((0.0, 0.0, 16.0, 16.0), (0.0, 0.0, 16.0, 16.0))
    boxes = as_tensor((4.0, 4.0, 12.0, 12.0))
    region, thresholds = statistical(priors, boxes, (1, 1))
    assert thresholds.tolist() == pairwise_diou(priors, boxes)[0].tolist() == [0.25]
    assert region.mask.all()
    assert not ring(priors, boxes, (1, 1)).mask.any()


def test_feature_ring_needs_an_overlap():
    """DIoU is negative far away: ``lower`` 0 or less takes no prior without IoU."""
    priors, sizes = grid()
    boxes = as_tensor(TABLE[2][0])
    found = ring(priors, boxes, sizes, lower=-1e9)
    ious = pairwise_iou(priors, boxes)[:, 0]
    assert (ious == 0).any()
    assert (found.iou[found.mask] > 0).all()
    _, thresholds = statistical(priors, boxes, sizes)
    below = pairwise_diou(priors, boxes)[:, 0] < thresholds
    assert torch.equal(found.mask, (ious > 0) & below)


def test_feature_difficult_ratio():
    """The higher the share of the best IoU, the fewer locations; none above it."""
    priors, _ = grid()
    boxes = as_tensor(TABLE[0][0])
    counts = [int(difficult(priors, boxes, ratio=r).sum()) for r in (0.2, 0.5, 0.9)]
    assert counts[0] > counts[1] == 101 > counts[2] > 0
    assert not difficult(priors, boxes, ratio=1.0).any()


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('topk', [9, 4])
def test_feature_statistical_equals_mmdets_assigner(seed, topk):
    """The same positives with the same owners; random boxes tie with nothing."""
    priors, sizes = grid((8, 16, 32), (96, 96), scale=4, dtype=torch.float32)
    boxes = random_boxes(1 + seed, seed)
    assigned = ATSSAssigner(topk=topk).assign(
        InstanceData(priors=priors),
        list(sizes),
        InstanceData(bboxes=boxes, labels=torch.zeros(len(boxes), dtype=torch.long)),
    )
    region, thresholds = statistical(priors, boxes, sizes, topk=topk)
    positive = assigned.gt_inds > 0
    assert positive.any()
    assert thresholds.shape == (len(boxes),)
    assert torch.equal(region.mask, positive)
    assert torch.equal(region.owner[positive], assigned.gt_inds[positive] - 1)
    torch.testing.assert_close(
        region.iou[positive], assigned.max_overlaps[positive], rtol=0, atol=0
    )


@pytest.mark.parametrize('seed', range(2))
def test_feature_padding_is_no_prior(seed):
    """Regions in a padded image are those of the image without its padding.

    The boxes reach over the image, where padded priors would fit them best.
    """
    padded, sizes = grid((8, 16, 32), (96, 96), scale=4)
    image, image_sizes = grid((8, 16, 32), (64, 96), scale=4)
    valid = torch.cat(
        [torch.arange(size) < own for size, own in zip(sizes, image_sizes, strict=True)]
    )
    assert torch.equal(padded[valid], image)
    boxes = random_boxes(4, seed).double()
    boxes[0] = torch.tensor([20.3, 50.1, 61.7, 90.9])  # its centre in the padding
    pairs = [
        (
            statistical(padded, boxes, sizes, valid=valid)[0],
            statistical(image, boxes, image_sizes)[0],
        ),
        (
            ring(padded, boxes, sizes, valid=valid),
            ring(image, boxes, image_sizes),
        ),
    ]
    for found, expected in pairs:
        assert expected.mask.any()
        assert not found.mask[~valid].any()
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours[valid], theirs)
    found = difficult(padded, boxes, valid=valid)
    assert not found[~valid].any()
    assert torch.equal(found[valid], difficult(image, boxes))
    # Without the flags there is a difference to see.
    assert statistical(padded, boxes, sizes)[0].mask[~valid].any()
    assert difficult(padded, boxes)[~valid].any()


def test_feature_level_in_the_padding():
    """A level may lie in the padding altogether, or hold fewer priors than ``topk``."""
    priors, sizes = grid((8, 16, 32), (96, 96), scale=4)
    boxes = as_tensor((8.3, 9.1, 40.2, 44.7))
    valid = torch.ones(len(priors), dtype=torch.bool)
    valid[sizes[0] :] = False
    region, _ = statistical(priors, boxes, sizes, valid=valid)
    alone, _ = statistical(priors[: sizes[0]], boxes, sizes[:1])
    assert torch.equal(region.mask[: sizes[0]], alone.mask)
    assert candidates(priors, boxes, sizes, valid=valid).shape == (9, 1)
    valid[:] = False
    assert not statistical(priors, boxes, sizes, valid=valid)[0].mask.any()
    assert not ring(priors, boxes, sizes, valid=valid).mask.any()
    assert not difficult(priors, boxes, valid=valid).any()


def test_shape_no_boxes():
    priors, sizes = grid()
    none = torch.zeros(0, 4, dtype=torch.float64)
    region, thresholds = statistical(priors, none, sizes)
    assert thresholds.shape == (0,)
    for found in (region, ring(priors, none, sizes)):
        assert [part.shape for part in found] == [(1364,)] * 3
        assert found.mask.dtype == torch.bool
        assert found.owner.dtype == torch.long
        assert found.iou.dtype == torch.float64
        assert not found.mask.any()
    assert difficult(priors, none).shape == (1364,)
    assert not difficult(priors, none).any()


def test_feature_boxes_without_priors_select_nothing():
    """A box without area, and one that overlaps no prior: empty, and not NaN."""
    priors, sizes = grid()
    boxes = as_tensor((50.0, 50.0, 50.0, 50.0), (900.0, 900.0, 950.0, 950.0))
    region, thresholds = statistical(priors, boxes, sizes)
    assert thresholds.tolist() == [0, 0]
    assert not region.mask.any()
    assert not ring(priors, boxes, sizes).mask.any()
    assert not difficult(priors, boxes).any()
