"""What compare_classifiers.py says while it works."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from mmdefect.comparison.record import RECORD
from tests.conftest import REPO


def test_feature_which_run_of_how_many_and_how_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = runpy.run_path(str(REPO / 'tools/analysis_tools/compare_classifiers.py'))
    names = tool['train_all'].__globals__
    now = [0.0]

    def train(config: Path, folder: Path, **_: object) -> None:
        known = (folder / RECORD).is_file()
        now[0] += 0 if known else 120

    monkeypatch.setitem(names, 'train_and_test', train)
    monkeypatch.setitem(names, 'time', SimpleNamespace(monotonic=lambda: now[0]))
    runs = [tool['Planned'](Path('c.py'), tmp_path / name, []) for name in 'abcd']
    for name in 'bd':
        (tmp_path / name).mkdir()
        (tmp_path / name / RECORD).touch()
    tool['train_all'](runs, processes=1)
    assert capsys.readouterr().out.splitlines() == [
        '4 runs, 2 of them finished before',
        'a: 1 of 4, trains and is tested',
        'a: done, 2.0 min a run, about 2 min left for 1 more',
        'b: 2 of 4, finished before',
        'c: 3 of 4, trains and is tested',
        'c: done, 2.0 min a run, about 0 min left for 0 more',
        'd: 4 of 4, finished before',
    ]
