"""Ten runs killed at random moments, by SIGKILL and SIGTERM, end as one that was not.

Slow: each task is trained some three times. `python -m lab.reliability kills` kills as
often as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.kill_runs import kill_tasks, shared_out
from tests.helpers.toy_tasks import TASKS


@pytest.mark.slow
def test_feature_ten_kills(warm: Path, tmp_path: Path) -> None:
    signals = shared_out(7, 3, list(TASKS))
    metrics, wrong = kill_tasks(tmp_path, signals, programs=warm)
    assert wrong == []
    sent = [metrics[f'kills/{task}/{name}'] for task in TASKS for name in NAMES]
    assert sum(sent) == 10


NAMES = ('SIGKILL', 'SIGTERM')
