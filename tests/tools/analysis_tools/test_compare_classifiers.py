"""What is refused before anything is trained; trainings are in the notebooks' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import run_tool

TOOL = 'tools/analysis_tools/compare_classifiers.py'
LUNA = 'configs/casting/luna_casting.py'


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        ((LUNA, '--freeze', 'none', 'fraction=1.5'), 'in [0, 1]'),
        ((LUNA, 'configs/casting/nothing_casting.py'), 'nothing_casting.py'),
        ((LUNA, '--epochs', '2'), 'param_scheduler.1'),
        ((LUNA, '--collect', 'work_dirs/nowhere'), 'has no run.json'),
        ((), 'nothing was given'),
        ((LUNA, '--results', 'docs/results/x.json'), 'without --dataset'),
    ],
)
def test_exception_nothing_is_trained(
    tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    done = run_tool(TOOL, *args, '--work-dir', tmp_path / 'work', check=False)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / 'work').exists()
