"""Only the main process reads a config that the main process may be writing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.config import Config

from mmdefect.streams import launch, runner
from mmdefect.streams.state import StepState

RECORDED = 'step_0/a.py'


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    (tmp_path / 'step_0').mkdir()
    (tmp_path / RECORDED).write_bytes(b'classes = "\xc3')  # half of a letter
    return tmp_path


def test_feature_built(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = SimpleNamespace(hooks=[], register_hook=lambda hook: None)
    monkeypatch.setattr(launch.Runner, 'from_cfg', lambda cfg: built)
    with pytest.raises(UnicodeDecodeError):
        launch.build_step_runner(Config(), work_dir / RECORDED)
    monkeypatch.setattr(launch, 'is_main_process', lambda: False)
    assert launch.build_step_runner(Config(), work_dir / RECORDED) is built


def test_feature_recorded(work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Any = SimpleNamespace(name='a', work_dir=work_dir)
    state = StepState(0, ['crazing'], state='trained', config=RECORDED)
    with pytest.raises(ValueError, match='is no config as a training writes it'):
        runner.StreamRunner._record_config(stream, state, Config())
    monkeypatch.setattr(runner, 'is_main_process', lambda: False)
    runner.StreamRunner._record_config(stream, state, Config())
    assert state.config == RECORDED
