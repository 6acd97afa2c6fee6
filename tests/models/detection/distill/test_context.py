"""Tests of what a strategy gets to see."""

from __future__ import annotations

import torch

from mmdefect.functional.regions import confident, difficult, ring, statistical
from tests.models.detection.distill.conftest import BOXES, random_context, random_maps


def test_feature_maps_are_lined_up_as_gfl_reads_them():
    """Location after location, row by row; sides before bins, as GFL's channels."""
    maps = random_maps(2, 3, size=(64, 96))
    dense = maps.dense()
    assert dense.classes.shape == (2, 8 * 12 + 4 * 6 + 2 * 3, 3)
    assert dense.boxes.shape == (2, 126, 4, 17)
    # Row 2, column 5 of the second level, which holds 6 columns.
    prior = 8 * 12 + 2 * 6 + 5
    assert torch.equal(dense.classes[1, prior], maps.classes[1][1, :, 2, 5])
    # mmdet: bbox_pred.permute(0, 2, 3, 1).reshape(-1, 4 * (reg_max + 1))
    channels = maps.boxes[1][1, :, 2, 5]
    assert torch.equal(dense.boxes[1, prior, 2], channels[2 * 17 : 3 * 17])
    assert all(
        found is given
        for found, given in zip(dense.features, maps.features, strict=True)
    )


def test_feature_logits_are_float32_in_mixed_precision():
    half = random_maps(1, 3).map(lambda level: level.bfloat16())
    dense = half.dense()
    assert dense.classes.dtype == dense.boxes.dtype == torch.float32
    assert torch.equal(dense.classes[0, 0], half.classes[0][0, :, 0, 0].float())


def test_feature_regions_are_those_of_each_image():
    """One row an image; also of an image without boxes."""
    context = random_context(boxes=(*BOXES, ()))
    assert context.teacher.classes.shape[0] == 3
    given = context.priors, context.level_sizes
    for image, found in enumerate(BOXES):
        boxes = torch.tensor(found)
        region, _ = statistical(given[0], boxes, given[1])
        around = ring(given[0], boxes, given[1])
        assert region.mask.any()
        assert around.mask.any()
        for row, expected in (
            (context.fitting(), region),
            (context.ring(), around),
            (context.fitting(4), statistical(given[0], boxes, given[1], topk=4)[0]),
            (context.ring(4), ring(given[0], boxes, given[1], topk=4)),
        ):
            for part, rows in zip(expected, row, strict=True):
                assert torch.equal(rows[image], part)
        assert torch.equal(context.difficult()[image], difficult(given[0], boxes))
    assert not context.fitting().mask[2].any()
    assert not context.ring().mask[2].any()
    assert not context.difficult()[2].any()
    scores = context.teacher_scores.amax(dim=2)
    assert torch.equal(
        context.confident(scores, 1.0),
        torch.stack([confident(row, num_std=1.0) for row in scores]),
    )


def test_feature_fitting_is_computed_once_for_each_topk():
    context = random_context()
    assert context.fitting() is context.fitting(9)
    assert context.fitting(4) is not context.fitting(9)
    assert context.fitting(4).mask.sum() < context.fitting(9).mask.sum()
