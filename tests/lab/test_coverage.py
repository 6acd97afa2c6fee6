from __future__ import annotations

import pytest

from lab.coverage import coverage_metrics
from lab.tables.coverage_table import coverage_lines, is_coverage


def entry(lines: tuple[int, int], branches: tuple[int, int]) -> dict:
    return {
        'summary': {
            'covered_lines': lines[0],
            'num_statements': lines[1],
            'covered_branches': branches[0],
            'num_branches': branches[1],
            'missing_branches': branches[1] - branches[0],
            'percent_covered': 1.5,
        }
    }


def test_smoke() -> None:
    """A room is the sum of its files, of any depth."""
    files = {
        'mmdefect/registry.py': entry((3, 3), (0, 0)),
        'mmdefect/utils/files.py': entry((8, 10), (1, 4)),
        'mmdefect/utils/deep/one.py': entry((10, 10), (3, 4)),
    }
    metrics = coverage_metrics({'files': files}, gaps=1)
    assert metrics['coverage/utils/lines'] == pytest.approx(0.9)
    assert metrics['coverage/utils/branches'] == pytest.approx(0.5)
    assert metrics['coverage/all/lines'] == pytest.approx(21 / 23)
    assert metrics['gap/mmdefect/utils/files.py'] == 3
    assert 'gap/mmdefect/utils/deep/one.py' not in metrics
    assert is_coverage(metrics)
    lines = coverage_lines(metrics)
    assert '| utils | 90.0 | 50.0 |' in lines
    assert '| `mmdefect/utils/files.py` | 3 |' in lines
