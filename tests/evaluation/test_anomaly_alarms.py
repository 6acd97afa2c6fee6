"""False alarms, misses and routing: by hand, from the samples to the log."""

from __future__ import annotations

import math

import pytest
import torch

from mmdefect.evaluation.anomaly_alarms import alarm_metrics, decides, judged
from mmdefect.evaluation.anomaly_metric import AnomalyMetric
from mmdefect.evaluation.anomaly_pixels import ImageRecord

CLASSES = ('bottle', 'cable')


def sample(product, label, *, alarm=None, routed=None) -> dict:
    """As the evaluator hands it to a metric."""
    found = {
        'img_path': f'{product}.png',
        'class_name': product,
        'gt_label': torch.tensor(label),
        'pred_score': torch.tensor(0.5 + label),
    }
    if alarm is not None:
        found['pred_alarm'] = torch.tensor(alarm)
    if routed is not None:
        found['pred_product'] = torch.tensor(routed)
    return found


BOTTLES = [
    sample('bottle', 0, alarm=False, routed=0),
    sample('bottle', 0, alarm=True, routed=0),
    sample('bottle', 0, alarm=False, routed=1),
    sample('bottle', 0, alarm=False, routed=-1),
    sample('bottle', 1, alarm=True, routed=0),
    sample('bottle', 1, alarm=False, routed=0),
    sample('bottle', 1, alarm=False, routed=0),
]
CABLES = [sample('cable', 0, alarm=False, routed=1)]


def evaluate(samples, **kwargs) -> dict[str, float]:
    metric = AnomalyMetric(pixel=False, **kwargs)
    metric.dataset_meta = {'classes': CLASSES}
    metric.process({}, samples)
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('mode', ['exact', 'streaming'])
def test_smoke(mode) -> None:
    """An unknown product is an alarm, and not recognised."""
    found = evaluate([*BOTTLES, *CABLES], mode=mode, old_classes=['bottle'])
    assert found['anomaly/false_alarm/bottle'] == 2 / 4
    assert found['anomaly/miss/bottle'] == 2 / 3
    assert found['anomaly/routing/bottle'] == 5 / 7
    assert found['anomaly/false_alarm/cable'] == 0
    assert math.isnan(found['anomaly/miss/cable'])
    assert found['anomaly/false_alarm_all'] == 0.25
    assert found['anomaly/false_alarm_new'] == 0
    assert found['anomaly/miss_all'] == pytest.approx(2 / 3)
    assert found['anomaly/routing_all'] == pytest.approx((5 / 7 + 1) / 2)


def test_feature_only_of_models_that_decide() -> None:
    """Others report as before."""
    found = evaluate([sample('bottle', 0), sample('bottle', 1), sample('cable', 1)])
    assert {key.split('/')[1] for key in found if 'cable' in key} == {
        'image_auroc', 'image_f1max', 'good_images', 'defective_images',
        'score_q50', 'score_q95', 'score_q99', 'score_max',
    }  # fmt: skip


def test_feature_alarms_without_routing() -> None:
    """Such as of a model that is told the product: no route is wrong or right."""
    found = evaluate([sample('bottle', 0, alarm=True), *CABLES])
    assert found['anomaly/false_alarm/bottle'] == 1
    assert math.isnan(found['anomaly/routing/bottle'])
    assert found['anomaly/routing_all'] == 1


def test_feature_records() -> None:
    assert judged(sample('cable', 1), CLASSES) == {'alarm': None, 'routed': None}
    unknown = sample('cable', 0, alarm=False, routed=-1)
    assert judged(unknown, CLASSES) == {'alarm': True, 'routed': False}
    # Without any alarm, an unknown product is none either: nothing is decided.
    unknown = sample('cable', 0, routed=-1)
    assert judged(unknown, CLASSES) == {'alarm': None, 'routed': False}
    silent = ImageRecord(product='cable', label=0, score=1.0)
    assert not decides([silent])
    assert all(math.isnan(value) for value in alarm_metrics([silent]).values())
    assert decides([silent, ImageRecord(product='a', label=0, score=1.0, routed=True)])
