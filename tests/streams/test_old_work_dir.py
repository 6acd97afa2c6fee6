"""A work dir of an earlier version is tested, and goes on where it was killed.

Slow is the training that goes on.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmdefect.apis import build_runner, load_config
from mmdefect.streams.state import StreamState
from tests.helpers.old_work_dir import ARCHIVE, CONFIG, make_data
from tests.helpers.synthetic_stream import steps_of

pytestmark = pytest.mark.usefixtures('undrawn')


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the old run was: all its paths are relative."""
    make_data(tmp_path)
    shutil.unpack_archive(ARCHIVE, tmp_path, filter='data')
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'work'


def row_of(work: Path, step: int) -> dict:
    return next(row for row in steps_of(work) if row['step'] == step)


def scores_of(row: dict) -> list[dict]:
    """Per class and group, of the metrics that the old version had."""
    return [
        {metric: row[part][metric] for metric in ('AP50', 'AP')}
        for part in ('per_class', 'groups', 'forgetting')
    ]


def test_feature_tests(work: Path) -> None:
    before = row_of(work, 0)
    (work / 'matrix.json').unlink()
    cfg = load_config(CONFIG)
    cfg.load_from = 'work'
    build_runner(cfg).test(step=0)
    now = row_of(work, 0)
    assert scores_of(now) == scores_of(before)
    # That version had no AP on own images, which a test adds.
    assert now['per_class'].keys() - before['per_class'].keys() == {'own_AP50'}


@pytest.mark.slow
def test_feature_resumes(work: Path) -> None:
    before = row_of(work, 0)
    cfg = load_config(CONFIG, work_dir='work')
    cfg.resume = True
    build_runner(cfg).train()
    state = StreamState.load(work)
    assert [step.state for step in state.steps] == ['finished'] * 2
    assert state.steps[1].checkpoint == 'step_1/epoch_2.pth'
    assert scores_of(row_of(work, 0)) == scores_of(before)
    assert set(row_of(work, 1)['groups']['AP50']) == {'old', 'new', 'all'}
    # As the earlier version itself went on from here: weights, optimiser and data are
    # the same ones. Its scalars.json of epoch 2, on one CPU thread.
    *_, file = sorted((work / 'step_1').glob('*/vis_data/scalars.json'))
    losses = json.loads(file.read_text(encoding='utf-8').splitlines()[-1])
    assert losses['epoch'] == 2
    assert losses['loss'] == pytest.approx(2.605104923248291, rel=1e-4)
    assert losses['loss_dist_cls'] == pytest.approx(4.653474263704993e-07, rel=0.05)
