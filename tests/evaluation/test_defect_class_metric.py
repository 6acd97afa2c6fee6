"""Classifier metric: by hand, scikit-learn, what is undefined, two processes."""

from __future__ import annotations

import json
import logging
import math

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmpretrain.structures import DataSample
from sklearn.metrics import classification_report, log_loss, roc_auc_score

from mmdefect.evaluation.defect_class_metric import DefectClassMetric, confusion_table
from mmdefect.functional.calibration import expected_calibration_error
from mmdefect.registry import METRICS
from tests.helpers.class_metric_run import (
    CLASSES,
    make_results,
    score,
    two_processes_of,
)


def sample(label, defect_score, pred=None, path='a.png'):
    scores = torch.tensor([defect_score, 1 - defect_score])
    pred = int(scores.argmax()) if pred is None else pred
    return {
        'img_path': path,
        'gt_label': torch.tensor([label]),
        'pred_label': torch.tensor([pred]),
        'pred_score': scores,
    }


# Five defective images, two missed; four sound ones, one false alarm.
SAMPLES = [
    *(sample(0, score) for score in (0.9, 0.8, 0.7, 0.4, 0.1)),
    *(sample(1, score) for score in (0.6, 0.3, 0.2, 0.2)),
]


def evaluate(samples, classes=CLASSES, **kwargs):
    metric = DefectClassMetric(**kwargs)
    metric.dataset_meta = {'classes': classes}
    metric.process({}, samples)
    return metric.evaluate(len(samples))


@pytest.fixture
def log(caplog):
    """What MMEngine's logger says, which does not propagate."""
    logger = MMLogger.get_instance('class metric')
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


def warnings(log) -> list[str]:
    return [r.getMessage() for r in log.records if r.levelno == logging.WARNING]


def test_smoke(log) -> None:
    metric = METRICS.build({'type': 'mmdefect.DefectClassMetric'})
    metric.dataset_meta = {'classes': CLASSES}
    metric.process({}, SAMPLES)
    found = metric.evaluate(9)
    assert {name: found[f'defect/{name}'] for name in ('images', 'errors')} == {
        'images': 9,
        'errors': 3,
    }
    assert (found['defect/miss'], found['defect/false_alarm']) == (2, 1)
    assert found['defect/miss_rate'] == pytest.approx(2 / 5)
    assert found['defect/false_alarm_rate'] == pytest.approx(1 / 4)
    assert found['defect/accuracy'] == pytest.approx(6 / 9)
    assert found['defect/balanced_accuracy'] == pytest.approx((3 / 5 + 3 / 4) / 2)
    # Pairs won by the five defects against 0.6, 0.3, 0.2, 0.2: 4 + 4 + 4 + 3 + 0.
    assert found['defect/auroc'] == pytest.approx(15 / 20)
    assert warnings(log) == []


def test_feature_equals_scikit_learn() -> None:
    samples = make_results(200)
    found = evaluate(samples)
    labels = [int(s['gt_label']) for s in samples]
    predictions = [int(s['pred_label']) for s in samples]
    scores = torch.stack([s['pred_score'] for s in samples]).double()
    report = classification_report(
        labels, predictions, target_names=CLASSES, output_dict=True
    )
    for name, theirs in (('precision',) * 2, ('recall',) * 2, ('f1', 'f1-score')):
        for entry in CLASSES:
            assert found[f'defect/{name}/{entry}'] == pytest.approx(
                report[entry][theirs]
            )
        assert found[f'defect/{name}_macro'] == pytest.approx(
            report['macro avg'][theirs]
        )
    assert found['defect/accuracy'] == pytest.approx(report['accuracy'])
    area = roc_auc_score([label == 0 for label in labels], scores[:, 0])
    assert found['defect/auroc'] == pytest.approx(area)
    assert found['defect/nll'] == pytest.approx(log_loss(labels, scores), rel=1e-6)
    error = expected_calibration_error(scores, torch.tensor(labels))
    assert found['defect/ece'] == error.item() > 0.01


def test_feature_the_prediction_of_the_head_counts() -> None:
    """A head with a threshold of 0.35 calls the image with 0.4 defective."""
    shifted = [sample(0, 0.4, pred=0) if s is SAMPLES[3] else s for s in SAMPLES]
    before, after = evaluate(SAMPLES), evaluate(shifted)
    assert (before['defect/miss'], after['defect/miss']) == (2, 1)
    for name in ('auroc', 'nll', 'ece'):
        assert before[f'defect/{name}'] == after[f'defect/{name}']


def test_feature_intervals() -> None:
    """25 errors of 715, the study's LUNA: 94.9 to 97.6 %."""
    samples = [sample(0, 0.1)] * 14 + [sample(1, 0.9)] * 11
    samples += [sample(0, 0.9)] * (453 - 14) + [sample(1, 0.1)] * (262 - 11)
    found = evaluate(samples)
    assert round(100 * found['defect/accuracy_low'], 1) == 94.9
    assert round(100 * found['defect/accuracy_high'], 1) == 97.6
    assert (found['defect/miss'], found['defect/false_alarm']) == (14, 11)
    other = evaluate(samples, interval='bootstrap')
    assert other['defect/accuracy_low'] == pytest.approx(0.951, abs=3e-3)
    assert other['defect/accuracy_high'] == pytest.approx(0.978, abs=3e-3)
    assert other == evaluate(samples, interval='bootstrap')


def test_feature_undefined_is_nan_and_said_once(log) -> None:
    found = evaluate([sample(0, 0.9), sample(0, 0.8)])
    undefined = {
        'false_alarm_rate',
        'precision/ok_front',
        'recall/ok_front',
        'f1/ok_front',
        'precision_macro',
        'recall_macro',
        'f1_macro',
        'balanced_accuracy',
        'auroc',
    }
    nan = {name.removeprefix('defect/') for name, v in found.items() if math.isnan(v)}
    assert nan == undefined
    (message,) = warnings(log)
    assert all(name in message for name in undefined)
    assert found['defect/accuracy'] == found['defect/recall/def_front'] == 1


def test_feature_another_class_may_be_the_defective_one() -> None:
    swapped = [sample(1 - int(s['gt_label']), 0.0) for s in SAMPLES]
    for new, old in zip(swapped, SAMPLES, strict=True):
        new['pred_score'] = old['pred_score'].flip(0)
        new['pred_label'] = 1 - old['pred_label']
    found = evaluate(swapped, classes=CLASSES[::-1], defective=1)
    for name, value in evaluate(SAMPLES).items():
        assert found[name] == pytest.approx(value, abs=1e-7), name


def test_feature_says_at_once_which_class_is_defective(log) -> None:
    for defective in (0, 1, 2):
        metric = DefectClassMetric(defective=defective)
        metric.dataset_meta = {'classes': ('good', 'scrap')}
        metric.dataset_meta = {}  # nothing to say, and nothing breaks
    first, second = (r.getMessage() for r in log.records)
    assert first.startswith('defective class: good, not defective: scrap; if that is ')
    assert 'as 0_scrap before 1_good' in first
    assert second == 'defective class: scrap, not defective: good'


def test_feature_more_than_two_classes() -> None:
    scores = torch.tensor([[0.1, 0.7, 0.2], [0.2, 0.1, 0.7], [0.8, 0.1, 0.1]])
    samples = [
        {
            'img_path': 'a.png',
            'gt_label': torch.tensor([2]),
            'pred_label': row.argmax()[None],
            'pred_score': row,
        }
        for row in scores
    ]
    found = evaluate(samples, classes=('crack', 'ok', 'dust'))
    # Dust called ok is an error and no alarm, called a crack it is both.
    assert (found['defect/errors'], found['defect/false_alarm']) == (2, 1)


def test_feature_out_file(tmp_path) -> None:
    path = tmp_path / 'new' / 'images.jsonl'
    samples = [sample(0, 0.75, path='b.png'), sample(1, 0.25, pred=0, path='a.png')]
    evaluate(samples, out_file=str(path))
    lines = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    assert lines == [
        {'path': 'b.png', 'label': 0, 'pred': 0, 'score': 0.75},
        {'path': 'a.png', 'label': 1, 'pred': 0, 'score': 0.25},
    ]
    evaluate(samples[:1], out_file=path)  # written anew
    assert len(path.read_text(encoding='utf-8').splitlines()) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ['images.jsonl']


def test_feature_confusion_matrix_is_logged(log) -> None:
    evaluate(SAMPLES)
    table = confusion_table(torch.tensor([[3, 2], [1, 3]]), CLASSES)
    assert any(table in record.getMessage() for record in log.records)
    assert [line.split() for line in table.splitlines()] == [
        ['called', 'def_front', 'called', 'ok_front'],
        ['def_front', '3', '2'],
        ['ok_front', '1', '3'],
    ]


def test_feature_works_in_the_evaluator() -> None:
    evaluator = Evaluator(DefectClassMetric())
    evaluator.dataset_meta = {'classes': CLASSES}
    made = DataSample(metainfo={'img_path': 'a.png'})
    made.set_gt_label(0).set_pred_label(1).set_pred_score(torch.tensor([0.3, 0.7]))
    evaluator.process([made])
    assert evaluator.evaluate(1)['defect/miss'] == 1


def test_feature_a_second_evaluation_starts_anew() -> None:
    metric = DefectClassMetric()
    metric.dataset_meta = {'classes': CLASSES}
    metric.process({}, SAMPLES[:4])
    metric.evaluate(4)
    metric.process({}, SAMPLES)
    assert metric.evaluate(9) == evaluate(SAMPLES)


def test_feature_two_processes_equal_one(tmp_path) -> None:
    ranks = two_processes_of('class', tmp_path)
    samples = make_results()
    one = score('class', samples, len(samples))
    assert ranks == [one, one]
    assert one['defect/miss'] > 0
    assert one['defect/false_alarm'] == 0
    lines = (tmp_path / 'images.jsonl').read_text(encoding='utf-8').splitlines()
    assert [json.loads(line)['path'] for line in lines] == [
        entry['img_path'] for entry in samples
    ]


def test_exception() -> None:
    with pytest.raises(ValueError, match="interval is 'normal'"):
        DefectClassMetric(interval='normal')
    with pytest.raises(ValueError, match='without pred_label, pred_score'):
        evaluate([{'img_path': 'a.png', 'gt_label': torch.tensor([0])}])
    with pytest.raises(ValueError, match='of each of a, b, c'):
        evaluate(SAMPLES, classes=('a', 'b', 'c'))
    with pytest.raises(ValueError, match='the training diverged'):
        evaluate([sample(0, math.nan, pred=0)])
    with pytest.raises(ValueError, match='labels from 0 to 2'):
        evaluate([sample(0, 0.5), sample(2, 0.5)])
    with pytest.raises(ValueError, match='defective=2'):
        evaluate(SAMPLES, defective=2)
    with pytest.raises(ValueError, match='no image was evaluated'):
        DefectClassMetric().compute_metrics([])


def test_feature_f1_of_the_defective_class_whatever_its_name() -> None:
    found = evaluate(SAMPLES, classes=('broken', 'good'))
    assert found['defect/f1_defective'] == found['defect/f1/broken']
