from __future__ import annotations

from lab.tables.reliability_table import is_reliability, reliability_lines

METRICS = {
    **{'kills/detection/SIGKILL': 3.0, 'kills/detection/SIGTERM': 1.0},
    **{'kills/detection/runs': 2.0, 'kills/detection/wrong': 0.0},
    'kills/detection/seconds': 12.5,
    **{'kills/pruning/SIGKILL': 4.0, 'kills/pruning/SIGTERM': 0.0},
    **{'kills/pruning/runs': 3.0, 'kills/pruning/wrong': 1.0},
    'kills/pruning/seconds': 9.0,
}


def test_smoke() -> None:
    assert is_reliability(METRICS)
    assert not is_reliability({'coverage/all/branches': 1.0})
    assert reliability_lines(METRICS)[2:] == [
        '| detection | 3 | 1 | 2 | 0 |',
        '| pruning | 4 | 0 | 3 | 1 |',
        '| all | 7 | 1 | 5 | 1 |',
    ]


def test_feature_damaged_files() -> None:
    metrics = {'fuzz/voc/inputs': 40, 'fuzz/voc/refused': 38, 'fuzz/voc/wrong': 0}
    assert is_reliability(metrics)
    assert reliability_lines(metrics) == [
        '| kind of file | damaged files | refused in one sentence | anything else |',
        '| --- | ---: | ---: | ---: |',
        '| voc | 40 | 38 | 0 |',
        '| all | 40 | 38 | 0 |',
    ]
