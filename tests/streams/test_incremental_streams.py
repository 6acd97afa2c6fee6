"""Streams with a teacher: steps of any number and size, moved, interrupted, resumed.

Slow: three streams are trained, and two of them once more.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdefect.apis import build_runner, load_config
from mmdefect.streams.state import StreamState
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import REPO, toy_options
from tests.helpers.synthetic_stream import steps_of
from tests.streams.conftest import copy_midway, draw_nothing, stream_runner

CONFIGS = {
    '5+1': 'sd_idd/sd-idd_r18_fpn_toy_neu-det_5+1.py',
    '2+2+2': 'erd/erd_r18_fpn_toy_neu-det_2+2+2.py',
    'release 5+1': 'sd_idd/sd-idd-release_r18_fpn_toy_neu-det_5+1.py',
}


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('undrawn')]


def runner_of(root: Path, name: str, work_dir: Path, epochs: int = 1, **more):
    more['stream.increment.train_cfg.max_epochs'] = epochs
    return stream_runner(root, work_dir, REPO / 'configs' / CONFIGS[name], **more)


@pytest.fixture(scope='module')
def finished(tmp_path_factory, toy_neu_det):
    """Work dirs of finished streams, by name."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        for name in CONFIGS:
            work_dir = tmp_path_factory.mktemp('streams') / 'work'
            runner_of(toy_neu_det, name, work_dir).train()
            found[name] = work_dir
    return found


def step_config(work_dir: Path, step: int) -> Config:
    (path,) = (work_dir / f'step_{step}').glob('*.py')
    return Config.fromfile(path)


@pytest.mark.parametrize('name', CONFIGS)
def test_feature_every_step_follows_the_one_before(finished, name):
    work_dir = finished[name]
    sizes = [int(size) for size in name.split()[-1].split('+')]
    state = StreamState.load(work_dir)
    assert [s.state for s in state.steps] == ['finished'] * len(sizes)
    rows = steps_of(work_dir)
    assert len(rows) == len(sizes)
    for step in range(1, len(sizes)):
        # mAP_all = (C_old mAP_old + C_new mAP_new) / C
        row = rows[step]
        groups, numbers = row['groups']['AP50'], (len(row['old']), len(row['new']))
        total = numbers[0] * groups['old'] + numbers[1] * groups['new']
        assert groups['all'] == pytest.approx(total / sum(numbers), abs=1e-9)
        cfg = step_config(work_dir, step)
        old = sum(sizes[:step])
        assert cfg.model.type == 'mmdefect.IncrementalGFL'
        assert cfg.model.bbox_head.num_old_classes == old
        assert cfg.model.teacher.classes == state.classes[:old]
        assert cfg.model.teacher.checkpoint.endswith(f'step_{step - 1}/epoch_1.pth')
        assert state.steps[step].started_from == f'step_{step - 1}/epoch_1.pth'
        weights = load_weights(work_dir / f'step_{step}/epoch_1.pth')['state_dict']
        assert len(weights['bbox_head.gfl_cls.bias']) == old + sizes[step]
        assert not [key for key in weights if 'teacher' in key or 'distill' in key]


@pytest.mark.parametrize('name', CONFIGS)
def test_feature_distillation_is_logged_apart(finished, name):
    """Every term is in the log and in the total, sizes of regions in the log alone."""
    (log,) = (finished[name] / 'step_1').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
    rows = [row for row in rows if 'loss_cls' in row]
    terms = {key for key in rows[0] if key.startswith('loss_dist_')}
    counts = {'5+1': 3, '2+2+2': 2, 'release 5+1': 5}
    assert len(terms) == counts[name]
    for row in rows:
        assert row['loss'] == pytest.approx(
            sum(v for k, v in row.items() if k.startswith('loss_')), rel=1e-4
        )
        assert {f'priors_{term.removeprefix("loss_dist_")}' for term in terms} <= {*row}


def test_feature_testing_needs_no_teacher(finished, toy_neu_det, tmp_path):
    """What is deployed is the student; nothing of the steps before is at hand."""
    student = tmp_path / 'student.pth'
    shutil.copy(finished['2+2+2'] / 'step_2/epoch_1.pth', student)
    path = REPO / 'configs' / CONFIGS['2+2+2']
    options = toy_options(toy_neu_det)
    cfg = load_config(path, cfg_options=options, work_dir=str(tmp_path / 'work'))
    cfg.load_from = str(student)
    scores = build_runner(cfg).test()
    expected = steps_of(finished['2+2+2'])[2]['groups']['AP50']['all']
    assert scores['coco/AP50_all'] == pytest.approx(expected, abs=1e-9)


def test_feature_moved_and_resumed_is_bit_equal(
    finished, toy_neu_det, tmp_path, monkeypatch
):
    """The teacher comes back, from where the work dir is now."""
    whole, moved = tmp_path / 'whole', tmp_path / 'moved'
    with monkeypatch.context() as patch:
        copy_midway(patch, moved)
        runner_of(toy_neu_det, '5+1', whole, epochs=2).train()
    runner_of(toy_neu_det, '5+1', moved, epochs=2, resume=True).train()
    expected = load_weights(whole / 'step_1/epoch_2.pth')['state_dict']
    found = load_weights(moved / 'step_1/epoch_2.pth')['state_dict']
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_exception_teacher_gone(finished, toy_neu_det, tmp_path):
    """A dumped step trains alone, and says which file it misses."""
    cfg = step_config(finished['5+1'], 1)
    cfg.work_dir = str(tmp_path)
    cfg.model.teacher.checkpoint = str(tmp_path / 'gone.pth')
    runner = Runner.from_cfg(cfg)
    with pytest.raises(FileNotFoundError, match=r'no checkpoint at .*gone\.pth'):
        runner.train()
