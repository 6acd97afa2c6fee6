"""A disk that is full while a checkpoint, a note or a report is written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from mmdefect.engine.guards import guarded
from mmdefect.streams.closing import sum_up
from mmdefect.streams.state import StreamState
from mmdefect.utils.checkpoint import load_weights
from tests.engine.hooks.conftest import make_runner  # noqa: F401  a fixture
from tests.helpers.full_disk import full_disk, limit_files
from tests.helpers.synthetic_stream import make_stream

CHECKPOINT = {'type': 'mmdefect.SafeCheckpointHook', 'interval': 1, 'max_keep_ckpts': 1}
SEEDED = {
    'custom_hooks': [{'type': 'mmdefect.EpochSeedHook'}],
    'randomness': {'seed': 0},
}


class Fills(Hook):
    """Fills the disk in the second epoch."""

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == 1:
            limit_files(1000)


def save_blank(figure: Figure, path: Path, **_: Any) -> None:
    Image.new('RGB', (8, 8), 'white').save(path)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_exception_while_a_checkpoint_is_saved(
    make_runner: Callable[..., Runner],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence; what was there stays; when there is room again it goes on."""
    monkeypatch.setattr(logging, 'raiseExceptions', False)  # logs are cut short, too
    torch.manual_seed(0)
    other = str(tmp_path / 'whole')
    make_runner(epochs=3, checkpoint=CHECKPOINT, work_dir=other, **SEEDED).train()
    torch.manual_seed(0)
    runner = guarded(make_runner(epochs=3, checkpoint=CHECKPOINT, **SEEDED))
    runner.register_hook(Fills())
    message = (
        r'work/epoch_2\.pth was not saved \(File too large\): free some space, or make '
        'the folder writable, and continue with --resume'
    )
    with full_disk(-1), pytest.raises(OSError, match=message):
        runner.train()
    work_dir = tmp_path / 'work'
    kept = {name for name in names(work_dir) if not name.endswith('.py')}
    assert kept == {'epoch_1.pth', 'epoch_1.pth.sha256', 'last_checkpoint'}
    resumed = make_runner(epochs=3, checkpoint=CHECKPOINT, resume=True, **SEEDED)
    guarded(resumed).train()
    whole, again = (
        load_weights(folder / 'epoch_3.pth')['state_dict']
        for folder in (tmp_path / 'whole', work_dir)
    )
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_exception_while_the_state_of_a_stream_is_written(tmp_path: Path) -> None:
    work_dir = make_stream(tmp_path)
    before = (work_dir / 'stream.json').read_bytes()
    state = StreamState.load(work_dir)
    state.steps[0].state = 'trained'
    message = r"File too large: '.*stream\.json'$"
    with full_disk(), pytest.raises(OSError, match=message):
        state.save(work_dir)
    assert (work_dir / 'stream.json').read_bytes() == before
    assert not list(work_dir.glob('*.tmp'))
    state.save(work_dir)
    assert json.loads((work_dir / 'stream.json').read_text())['steps'][0]['state']


def test_exception_while_a_report_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models and scores are done; the page of before stays until a new one is whole.

    Figures are blank: what is in them is not looked at here.
    """
    monkeypatch.setattr(Figure, 'savefig', save_blank)
    work_dir, said = make_stream(tmp_path), []
    sum_up(work_dir, lambda text, _: said.append(text))
    page = (work_dir / 'report/index.html').read_bytes()
    message = (
        r'the steps are done .* but the report of .* cannot be drawn: OSError: .*File '
        'too large.*; when the cause is gone, draw it by the same command with --resume'
    )
    with full_disk(), pytest.raises(RuntimeError, match=message):
        sum_up(work_dir, lambda text, _: said.append(text))
    assert (work_dir / 'report/index.html').read_bytes() == page
    assert not list(work_dir.rglob('*.tmp'))
    sum_up(work_dir, lambda text, _: said.append(text))
    assert (work_dir / 'report/index.html').read_bytes() == page
