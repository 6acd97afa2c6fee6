from __future__ import annotations

import torch
from mmpretrain.models import ImageClassifier, LinearClsHead
from mmpretrain.structures import DataSample
from torch import nn

from mmdefect.models.classification.head import DefectClsHead
from mmdefect.models.classification.tta import AverageDefectScoreTTA
from tests.models.classification.conftest import scope


def views(*scores: float) -> list[DataSample]:
    """Of one image, each with the probability of a defect and the label of its own."""
    return [
        DataSample()
        .set_gt_label(0)
        .set_pred_score(torch.tensor([score, 1 - score]))
        .set_pred_label(int(score < 0.5))
        for score in scores
    ]


def averaging(head: nn.Module) -> AverageDefectScoreTTA:
    with scope('mmpretrain'):
        return AverageDefectScoreTTA(ImageClassifier(backbone=nn.Identity(), head=head))


def test_feature_label_is_of_the_average_at_the_threshold() -> None:
    head = DefectClsHead(in_channels=3)
    images = [views(0.4, 0.8), views(0.6, 0.2), views(0.3, 0.4)]
    merged = averaging(head).merge_preds(images)
    assert [int(sample.pred_label) for sample in merged] == [0, 1, 1]
    torch.testing.assert_close(merged[0].pred_score, torch.tensor([0.6, 0.4]))
    head.threshold.fill_(0.38)
    merged = averaging(head).merge_preds(images)
    assert [int(sample.pred_label) for sample in merged] == [0, 0, 1]
    assert int(images[0][0].pred_label) == 1  # the views stay
    assert int(merged[0].gt_label) == 0


def test_feature_head_without_a_threshold() -> None:
    with scope('mmpretrain'):
        head = LinearClsHead(num_classes=2, in_channels=3)
    (merged,) = averaging(head).merge_preds([views(0.4, 0.8)])
    assert int(merged.pred_label) == 0
