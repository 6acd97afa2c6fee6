"""What a resume allows, what it names, and what it makes again.

Slow are those that score steps anew or train one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmdefect.streams import closing
from mmdefect.streams.runner import StreamRunner
from mmdefect.streams.state import StepState, StreamState
from mmdefect.utils.dumped_config import read_dumped_config
from mmdefect.utils.whole_checkpoint import hash_beside
from tests.helpers.synthetic_stream import edited, steps_of
from tests.streams.conftest import CONFIG, NAME, copied, stream_runner

FREE = {
    'train_dataloader.num_workers': 1,
    'test_dataloader.num_workers': 1,
    'test_dataloader.persistent_workers': True,
    'default_hooks.checkpoint.max_keep_ckpts': 2,
}
KEY = 'bbox_head.gfl_cls.bias'
SCORING = {'test_dataloader.batch_size': 4}


@pytest.fixture
def work_dir(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished stream."""
    return copied(finished, tmp_path / 'work')


@pytest.fixture(autouse=True)
def no_report(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longest, and one test looks at it."""
    if 'a_report' not in request.node.name:
        monkeypatch.setattr(closing, 'write_report', lambda work_dir, _: work_dir)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the stream says."""
    lines: list[str] = []
    monkeypatch.setattr(StreamRunner, '_say', lambda self, text, *_: lines.append(text))
    return lines


@pytest.fixture
def resume(work_dir: Path, toy_neu_det: Path) -> Callable[..., None]:
    def go_on(step: int | None = None, **more: Any) -> None:
        stream_runner(toy_neu_det, work_dir, resume=True, **more).train(step=step)

    return go_on


def change_step(work_dir: Path, step: int, **changes: Any) -> None:
    state = StreamState.load(work_dir)
    for name, value in changes.items():
        setattr(state.steps[step], name, value)
    state.save(work_dir)


def interrupted(work_dir: Path) -> None:
    """As a kill leaves the last step after its first checkpoint."""
    change_step(
        work_dir, 1, state='running', checkpoint=None, checkpoint_sha256=None,
        scoring_hash=None,
    )  # fmt: skip
    forget_scores(work_dir)


def forget_scores(work_dir: Path) -> None:
    with edited(work_dir / 'matrix.json') as matrix:
        del matrix['steps'][1]


def times(work_dir: Path) -> dict[str, int]:
    """When each checkpoint was written."""
    return {str(p): p.stat().st_mtime_ns for p in work_dir.glob('step_*/*.pth')}


def test_smoke_a_report_that_a_kill_interrupted(work_dir, resume) -> None:
    report = work_dir / 'report'
    expected = {path.name for path in report.iterdir()}
    shutil.rmtree(report)
    resume()
    assert {path.name for path in report.iterdir()} == expected


def test_feature_nothing_is_scored_again_without_a_reason(
    work_dir, resume, said
) -> None:
    before = times(work_dir), (work_dir / 'matrix.json').stat().st_mtime_ns
    resume(**FREE)
    assert said[:2] == [f'step {k} is already finished' for k in (0, 1)]
    assert (times(work_dir), (work_dir / 'matrix.json').stat().st_mtime_ns) == before


@pytest.mark.slow
def test_feature_a_running_step_takes_over(work_dir, resume, said) -> None:
    interrupted(work_dir)
    change_step(work_dir, 1, environment={'processes': '2'})
    resume(**FREE)
    (line,) = [text for text in said if 'takes over' in text]
    assert line.startswith('step 1 takes over changes that its weights do not hang on')
    for key in FREE:
        assert key in line
    assert 'train_dataloader.num_workers (was 0, is 1)' in line
    (line,) = [text for text in said if 'processes' in text]
    assert line.startswith('step 1 was begun by 2 processes and goes on with 1: a')
    state = StreamState.load(work_dir).steps[1]
    assert state.state == 'finished'
    assert state.environment['processes'] == '2; 1'


@pytest.mark.slow
def test_feature_failed_scoring_is_cured_without_training(
    work_dir, resume, said
) -> None:
    """A step that was trained, with an evaluator that was wrong."""
    change_step(work_dir, 1, state='trained', scoring_hash=None)
    forget_scores(work_dir)
    before = times(work_dir)
    resume(step=1, **SCORING)
    assert times(work_dir) == before
    assert StreamState.load(work_dir).steps[1].state == 'finished'
    assert [step['step'] for step in steps_of(work_dir)] == [0, 1]
    # Only this step was asked for, and the other has scores of before.
    (line,) = [text for text in said if 'not comparable' in text]
    assert line.startswith('step 0 is not comparable, its scores are of other test')
    assert 'test_dataloader.batch_size (was 12, is 4)' in line


@pytest.mark.slow
def test_feature_other_scoring_of_all_steps(work_dir, resume, said) -> None:
    before = times(work_dir)
    changes = {**SCORING, 'train_dataloader.num_workers': 1}
    resume(**changes)
    for step in (0, 1):
        assert (
            f'step {step} is finished and scored again: its scores are of other test '
            'settings: test_dataloader.batch_size (was 12, is 4)'
        ) in said
        # What has trained it stays in its config; how it is scored is new.
        cfg = read_dumped_config(work_dir / f'step_{step}/{NAME}.py')
        assert cfg.test_dataloader.batch_size == 4
        assert cfg.train_dataloader.num_workers == 0
    assert times(work_dir) == before
    assert not [text for text in said if 'not comparable' in text]
    said.clear()
    resume(**changes)
    assert said[:2] == [f'step {k} is already finished' for k in (0, 1)]


@pytest.mark.slow
def test_exception_weights_that_are_not_finite(work_dir, resume) -> None:
    """A step whose training diverged is not finished."""
    interrupted(work_dir)
    path = work_dir / 'step_1/epoch_1.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['state_dict'][KEY][0] = float('nan')
    path.unlink()
    hash_beside(path).unlink()
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=rf'epoch_1\.pth \(holds NaN .* {KEY}'):
        resume()
    assert StreamState.load(work_dir).steps[1].state == 'running'


@pytest.mark.slow
@pytest.mark.parametrize(
    ('gone', 'spoil'),
    [
        ('step_1/samples.json', Path.unlink),
        ('matrix.json', Path.unlink),
        ('step_1/samples.json', lambda path: os.utime(path, (1, 1))),
    ],
)
def test_feature_what_a_test_leaves_is_made_again(
    work_dir, resume, said, gone, spoil
) -> None:
    """Also when it is older than the checkpoint that it shows."""
    spoil(work_dir / gone)
    resume()
    assert (work_dir / gone).stat().st_mtime > 1
    (line,) = [text for text in said if text.startswith('step 1 is finished and scor')]
    assert Path(gone).name in line


class TestReceived:
    """Work dirs of older versions, and such as came from elsewhere."""

    @pytest.fixture
    def old(self, work_dir: Path) -> Path:
        with edited(work_dir / 'stream.json') as state:
            for step in state['steps']:
                del step['scoring_hash'], step['environment']['processes']
                step['config_hash'] = 'of a version with other defaults'
        return work_dir

    @pytest.mark.slow
    def test_feature_older_version(self, old, resume, said) -> None:
        """Also killed in the middle of its last step."""
        resume()
        assert said[:2] == [f'step {k} is already finished' for k in (0, 1)]
        interrupted(old)
        resume(**FREE)
        assert StreamState.load(old).steps[1].state == 'finished'

    @pytest.mark.parametrize('start', [False, True])
    def test_exception_its_config_is_not_run(
        self, old, toy_neu_det, tmp_path, start
    ) -> None:
        ran = tmp_path / 'ran'
        text = f'x = open({str(ran)!r}, "w")\n'
        (old / f'step_0/{NAME}.py').write_text(text, encoding='utf-8')
        work_dir = tmp_path / 'new' if start else old
        more = {'stream.start_from': str(old)} if start else {}
        runner = stream_runner(toy_neu_det, work_dir, resume=not start, **more)
        with pytest.raises(ValueError, match='files of a work dir are not run'):
            runner.train()
        assert not ran.exists()

    @pytest.mark.parametrize('name', ['../x.py', '/etc/passwd', 'step_0/../../x.pth'])
    @pytest.mark.parametrize('key', ['config', 'checkpoint'])
    def test_exception_files_elsewhere(self, tmp_path, key, name) -> None:
        StreamState('a', ['b'], [StepState(0, ['b'], **{key: name})]).save(tmp_path)
        with pytest.raises(ValueError, match=r'which is outside of its work dir: exp'):
            StreamState.load(tmp_path)

    def test_exception_no_config(self, old, resume) -> None:
        (old / f'step_0/{NAME}.py').unlink()
        with pytest.raises(ValueError, match='has changed, first at an unknown key'):
            resume()


@pytest.mark.slow
def test_feature_start_from_another_scoring(finished, toy_neu_det, tmp_path) -> None:
    """A teacher is trained alike, and scored as the stream that takes it over says."""
    joint = CONFIG.with_name(CONFIG.name.replace('finetune', 'joint'))
    more = {'stream.start_from': str(finished), **SCORING}
    stream_runner(toy_neu_det, tmp_path / 'x', config=joint, **more).train(step=0)
    state = StreamState.load(tmp_path / 'x').steps[0]
    assert state.state == 'finished'
    assert state.scoring_hash != StreamState.load(finished).steps[0].scoring_hash
