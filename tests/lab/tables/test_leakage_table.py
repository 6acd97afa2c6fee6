"""Near-duplicates of a results file as tables."""

from __future__ import annotations

from lab.tables.leakage_table import is_leakage, leakage_lines

METRICS = {
    'images': 7348,
    'largest_share': 0.10772,
    'test/ok_front/clusters': 3,
    'aligned/0.90/clusters': 126,
    'aligned/0.90/recall': 1.0,
    'aligned/0.90/leak': 0.98881,
    'rings/0.95/clusters': 4000,
    'rings/0.95/leak': 0.5,
}


def test_feature_tables() -> None:
    assert is_leakage(METRICS)
    lines = leakage_lines(METRICS)
    assert lines[2:5] == [
        '| images | 7,348 |',
        '| largest_share | 0.1077 |',
        '| test/ok_front/clusters | 3 |',
    ]
    assert lines[-2:] == [
        '| `aligned` | 0.90 | 126 | – | 100.0 | – | 98.9 |',
        '| `rings` | 0.95 | 4000 | – | – | – | 50.0 |',
    ]
    header = next(line for line in lines if line.startswith('| method'))
    assert header.count('|') == lines[-1].count('|')


def test_feature_other_results_are_none() -> None:
    assert not is_leakage({'finetune/all': 0.5, 'luna/legacy/legacy/errors': 2})
