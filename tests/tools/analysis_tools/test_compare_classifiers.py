"""What is refused before anything is trained, and what is said while it trains.

Trainings are in the notebooks' tests.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmdefect.comparison.record import RECORD
from tests.helpers.study_runs import load_tool

LUNA = 'configs/casting/luna_casting.py'


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The tool, which leaves the loggers of this process alone."""
    module = load_tool('tools/analysis_tools/compare_classifiers.py')
    monkeypatch.chdir(module.ROOT)
    monkeypatch.setattr(module, 'quiet_console', lambda: None)
    return module


@pytest.mark.parametrize(
    ('args', 'error', 'message'),
    [
        ((LUNA, '--freeze', 'none', 'fraction=1.5'), ValueError, '1.5'),
        ((LUNA, 'configs/casting/no.py'), FileNotFoundError, 'casting/no.py'),
        ((LUNA, '--epochs', '1'), ValueError, 'param_scheduler.1'),
        ((LUNA, '--collect', 'w'), FileNotFoundError, 'run.json: expected a work dir'),
        ((), SystemExit, 'nothing to do: expected configs'),
        ((LUNA, '--results', 'x.json'), SystemExit, '--results: expected --dataset'),
    ],
)
def test_exception_nothing_is_trained(
    tool: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    error: type[BaseException],
    message: str,
) -> None:
    with pytest.raises(error) as caught:
        tool.main([*args, '--work-dir', str(tmp_path / 'work')])
    assert message in f'{caught.value} {capsys.readouterr().err}'
    assert not (tmp_path / 'work').exists()


@pytest.mark.parametrize(
    ('script', 'args'),
    [
        ('analysis_tools/compare_classifiers.py', '--work-dir w --drift a b'),
        (
            'analysis_tools/compare_classifiers.py',
            f'{LUNA} --work-dir w --results r.json --dataset d',
        ),
        ('dataset_converters/casting.py', 'data --calibrate --report r.json'),
    ],
)
def test_exception_installed_without_the_laboratory(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: str,
    args: str,
) -> None:
    """A wheel has the tools, and results are written in a checkout."""
    tool = load_tool(f'tools/{script}')
    monkeypatch.setattr(tool, 'ROOT', tmp_path)
    with pytest.raises(SystemExit, match='2'):
        tool.main(args.split())
    assert 'checkout' in capsys.readouterr().err


def test_feature_which_run_of_how_many_and_how_long(
    tool: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]

    def train(config: Path, folder: Path, **_: object) -> None:
        known = (folder / RECORD).is_file()
        now[0] += 0 if known else 120

    monkeypatch.setattr(tool, 'train_and_test', train)
    monkeypatch.setattr(tool, 'time', SimpleNamespace(monotonic=lambda: now[0]))
    runs = [tool.Planned(Path('c.py'), tmp_path / name, []) for name in 'abcd']
    for name in 'bd':
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD).touch()
    tool.train_all(runs, processes=1)
    assert capsys.readouterr().out.splitlines() == [
        '4 runs, 2 of them finished before',
        'a: 1 of 4, trains and is tested',
        'a: done, 2.0 min a run, about 2 min left for 1 more',
        'b: 2 of 4, finished before',
        'c: 3 of 4, trains and is tested',
        'c: done, 2.0 min a run, about 0 min left for 0 more',
        'd: 4 of 4, finished before',
    ]
