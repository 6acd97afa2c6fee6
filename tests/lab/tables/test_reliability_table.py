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
