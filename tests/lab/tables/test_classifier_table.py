"""Classifiers of a results file as a table."""

from __future__ import annotations

from lab.tables.classifier_table import classifier_lines, is_study

GIVEN = {
    'errors': 25,
    'miss': 14,
    'false_alarm': 11,
    'images': 715,
    'accuracy_low': 0.9489,
    'accuracy_high': 0.9762,
    'trainable': 115_088,
    'parameters': 115_088,
    'epochs': 50,
    'seconds_per_epoch': 240.4,
    'latency_ms_p50': 12.34,
}


def test_feature_rows_by_split() -> None:
    metrics = {
        f'{name}/{key}': value
        for name in (
            'luna/legacy/legacy',
            'luna/default/cluster_level',
            'b/legacy/legacy',
        )
        for key, value in GIVEN.items()
    }
    assert is_study(metrics)
    header, rule, *rows = classifier_lines(metrics)
    assert header.count('|') == rule.count('|') == rows[0].count('|')
    assert [row.split(' | ')[:2] for row in rows] == [
        ['| cluster_level', '`luna`'],
        ['| legacy', '`luna, legacy`'],
        ['| legacy', '`b, legacy`'],
    ]
    assert rows[1] == (
        '| legacy | `luna, legacy` | 25 of 715 | 96.50 (94.9–97.6) | 14 | 11 | – | '
        '115,088 / 115,088 | 50 | 240 | 12.3 |'
    )


def test_feature_auroc_where_it_was_measured() -> None:
    metrics = {f'luna/legacy/legacy/{key}': value for key, value in GIVEN.items()}
    metrics['luna/legacy/legacy/auroc'] = 0.98765
    row = classifier_lines(metrics)[-1]
    assert '| 14 | 11 | 98.77 | 115,088 /' in row


def test_feature_other_results_are_none() -> None:
    assert not is_study({'finetune/all': 0.5, 'a/b_ms': 1})
