"""Classifier metric: by hand, scikit-learn, and what is undefined."""

from __future__ import annotations

import json
import math

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.structures import DataSample
from sklearn.metrics import classification_report, log_loss, roc_auc_score

from mmdefect.evaluation.defect_class_metric import DefectClassMetric, confusion_table
from mmdefect.functional.calibration import expected_calibration_error
from mmdefect.registry import METRICS
from tests.helpers.metric_run import CLASSES, make_results


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


def evaluate(samples, classes=CLASSES, metric=None, **kwargs):
    metric = metric or DefectClassMetric(**kwargs)
    metric.dataset_meta = {'classes': classes}
    metric.process({}, samples)
    return metric.evaluate(len(samples))


def test_smoke(warnings) -> None:
    metric = METRICS.build({'type': 'mmdefect.DefectClassMetric'})
    found = evaluate(SAMPLES, metric=metric)
    expected = {
        'images': 9,
        'errors': 3,
        'miss': 2,
        'false_alarm': 1,
        'miss_rate': 2 / 5,
        'false_alarm_rate': 1 / 4,
        'accuracy': 6 / 9,
        'balanced_accuracy': (3 / 5 + 3 / 4) / 2,
        # Pairs won by the five defects against 0.6, 0.3, 0.2, 0.2: 4 + 4 + 4 + 3 + 0.
        'auroc': 15 / 20,
    }
    assert {name: found[f'defect/{name}'] for name in expected} == pytest.approx(
        expected
    )
    assert warnings() == []
    # A second evaluation starts anew.
    evaluate(SAMPLES[:4], metric=metric)
    assert evaluate(SAMPLES, metric=metric) == found


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
        for ours, entry in [
            *((f'/{name}', name) for name in CLASSES),
            ('_macro', 'macro avg'),
        ]:
            expected = pytest.approx(report[entry][theirs])
            assert found[f'defect/{name}{ours}'] == expected
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


def test_feature_undefined_is_nan_and_said_once(warnings) -> None:
    found = evaluate([sample(0, 0.9), sample(0, 0.8)])
    undefined = {'false_alarm_rate', 'balanced_accuracy', 'auroc'}
    for name in ('precision', 'recall', 'f1'):
        undefined |= {f'{name}/ok_front', f'{name}_macro'}
    nan = {name.removeprefix('defect/') for name, v in found.items() if math.isnan(v)}
    assert nan == undefined
    (message,) = warnings()
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
    # Whatever its name.
    assert found['defect/f1_defective'] == found['defect/f1/def_front']


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
        {**sample(2, 0.0), 'pred_label': row.argmax()[None], 'pred_score': row}
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


def test_exception() -> None:
    bare = {'img_path': 'a.png', 'gt_label': torch.tensor([0])}
    for samples, options, reason in (
        (SAMPLES, {'interval': 'normal'}, "interval='normal'"),
        ([bare], {}, 'lacks pred_label, pred_score'),
        (SAMPLES, {'classes': ('a', 'b', 'c')}, 'of each of a, b, c'),
        ([sample(0, math.nan, pred=0)], {}, 'the training diverged'),
        ([sample(0, 0.5), sample(2, 0.5)], {}, 'labels from 0 to 2'),
        (SAMPLES, {'defective': 2}, 'defective=2'),
    ):
        with pytest.raises(ValueError, match=reason):
            evaluate(samples, **options)
    with pytest.raises(ValueError, match='no image was evaluated'):
        DefectClassMetric().compute_metrics([])
