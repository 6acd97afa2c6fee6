"""Saliency metric: by hand, without masks, and other sizes."""

from __future__ import annotations

import math

import pytest
import torch

from mmdefect.evaluation.saliency_metric import SaliencyMetric
from mmdefect.registry import METRICS

# Four of these are above 0.4 of the largest, three in the mask, two in both.
MAP = torch.tensor([[10.0, 6, 0, 0], [5, 4, 0, 0], [0, 0, 0, 8], [0, 0, 2, 0]])
MASK = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])


def sample(saliency=MAP, mask=MASK, path='a.png'):
    return {'img_path': path, 'saliency': saliency, 'gt_mask': mask}


def evaluate(samples, **kwargs):
    metric = SaliencyMetric(**kwargs)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def test_smoke() -> None:
    metric = METRICS.build({'type': 'mmdefect.SaliencyMetric', 'threshold': 0.4})
    metric.process({}, [sample()])
    assert metric.evaluate(1) == {
        'saliency/iou': 2 / 5,
        'saliency/iop': 2 / 4,
        'saliency/pointing_game': 1,
        'saliency/energy': pytest.approx(20 / 35),
        'saliency/scored': 1,
        'saliency/unmasked': 0,
    }


def test_feature_means_over_images_with_a_mask(warnings) -> None:
    """The second is perfect, the third hits nothing, the fourth is not outlined."""
    perfect = sample(MASK.float())
    nothing = sample(torch.zeros(4, 4))
    found = evaluate([sample(), perfect, nothing, sample(mask=None)])
    assert found['saliency/iou'] == pytest.approx((2 / 5 + 1 + 0) / 3)
    assert found['saliency/iop'] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert found['saliency/pointing_game'] == pytest.approx(2 / 3)
    assert (found['saliency/scored'], found['saliency/unmasked']) == (3, 1)
    assert warnings() == ['1 of 4 images have no mask: they are not scored']


def test_feature_an_empty_mask_counts() -> None:
    found = evaluate([sample(), sample(mask=torch.zeros(4, 4))])
    assert found['saliency/iou'] == pytest.approx(2 / 5 / 2)
    assert found['saliency/scored'] == 2


def test_feature_no_mask_at_all_is_nan() -> None:
    found = evaluate([{'img_path': 'a.png', 'saliency': MAP}])
    assert math.isnan(found['saliency/iou'])
    assert (found['saliency/scored'], found['saliency/unmasked']) == (0, 1)


def test_feature_threshold_and_tolerance() -> None:
    off = torch.zeros(4, 4)
    off[1, 3] = 1
    strict = evaluate([sample(off)])
    assert strict['saliency/pointing_game'] == 0
    assert evaluate([sample(off)], tolerance=2)['saliency/pointing_game'] == 1
    assert evaluate([sample()], threshold=0.9)['saliency/iop'] == 1


def test_feature_a_map_is_resized_to_its_mask() -> None:
    """The left half: the ramp between is above 0.4 on the nearer pixel only."""
    mask = torch.zeros(8, 8)
    mask[:, :4] = 1
    small = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert evaluate([sample(small, mask)])['saliency/iop'] == 1
    assert evaluate([sample(small, mask)])['saliency/iou'] == 1
    assert evaluate([sample(small, mask)], threshold=0)['saliency/iop'] < 1


def test_exception() -> None:
    for options, reason in (
        ({'threshold': 40}, '^threshold'),
        ({'tolerance': -2}, 'tolerance=-2: expected at least 0'),
    ):
        with pytest.raises(ValueError, match=reason):
            SaliencyMetric(**options)
    for given, reason in (
        ({'img_path': 'a.png'}, r'saliency=None of a\.png'),
        (sample(MAP[None]), r'shape \(1, 4, 4\)'),
        (sample(-MAP), 'finite numbers'),
    ):
        with pytest.raises(ValueError, match=reason):
            evaluate([given])
    with pytest.raises(ValueError, match='no image was evaluated'):
        SaliencyMetric().compute_metrics([])
