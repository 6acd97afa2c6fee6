"""Two toy steps, end to end: folders, chaining, refusals, resume."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmdefect.apis import build_runner, load_config, use_tta
from mmdefect.streams.state import StreamState
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import REPO, run_tool, tool_env
from tests.streams.conftest import CONFIG, NAME, options, stream_runner

STEP_1_HEAD = 'bbox_head.gfl_cls.weight'


def test_smoke_folders(finished):
    state = StreamState.load(finished)
    assert [s.state for s in state.steps] == ['finished', 'finished']
    assert state.steps[0].checkpoint == 'step_0/epoch_2.pth'
    assert state.steps[1].checkpoint == 'step_1/epoch_1.pth'
    assert state.steps[1].started_from == 'step_0/epoch_2.pth'
    matrix = json.loads((finished / 'matrix.json').read_text(encoding='utf-8'))
    assert [row['step'] for row in matrix['steps']] == [0, 1]
    assert set(matrix['steps'][1]['groups']['AP50']) == {'old', 'new', 'all'}
    assert (finished / 'report' / 'index.html').is_file()
    assert str(finished) not in (finished / 'stream.json').read_text(encoding='utf-8')


def test_feature_every_scalar_in_its_own_folder(finished):
    for step, epochs in ((0, 2), (1, 1)):
        files = list((finished / f'step_{step}').glob('*/vis_data/scalars.json'))
        assert len(files) == 1
        rows = [
            json.loads(line)
            for line in files[0].read_text(encoding='utf-8').splitlines()
        ]
        losses = [row for row in rows if 'loss_cls' in row]
        assert {row['epoch'] for row in losses} == set(range(1, epochs + 1))
        (scores,) = (finished / f'step_{step}').glob('*/2*.json')  # one test a step
        assert ('coco/AP50_old' in json.loads(scores.read_text(encoding='utf-8'))) == (
            step == 1
        )


def test_feature_checkpoint_is_the_student_and_names_its_step(finished):
    loaded = load_weights(finished / 'step_1/epoch_1.pth')
    assert loaded['meta']['stream']['step'] == 1
    assert loaded['state_dict'][STEP_1_HEAD].shape[0] == 6
    assert list(loaded['meta']['dataset_meta']['classes'])[:3] == [
        'crazing',
        'inclusion',
        'patches',
    ]


def test_feature_resolved_config_is_ordinary(finished):
    text = (finished / 'step_1' / f'{NAME}.py').read_text(encoding='utf-8')
    assert 'runner_type' not in text
    assert '\nstream = ' not in text


def test_exception_existing_work_dir(finished, toy_neu_det):
    with pytest.raises(FileExistsError, match=r'already holds a stream .*add --resume'):
        stream_runner(toy_neu_det, finished).train()


def test_exception_resume_with_a_changed_config(finished, toy_neu_det):
    changed = {'optim_wrapper.optimizer.weight_decay': 0.5}
    message = r'its config has changed, first at optim_wrapper\.optimizer\.weight_decay'
    with pytest.raises(ValueError, match=message):
        stream_runner(toy_neu_det, finished, resume=True, **changed).train()


def test_exception_resume_with_another_protocol(finished, toy_neu_det):
    with pytest.raises(ValueError, match='it was started with the steps'):
        stream_runner(
            toy_neu_det, finished, resume=True, **{'stream.protocol': '5+1'}
        ).train()


def test_exception_resume_with_another_start(finished, toy_neu_det):
    with pytest.raises(ValueError, match=r'started with stream\.start_from=None, the'):
        stream_runner(
            toy_neu_det, finished, resume=True, **{'stream.start_from': 'x.pth'}
        ).train()


def test_exception_no_such_step(finished, toy_neu_det):
    runner = stream_runner(toy_neu_det, finished, resume=True)
    for call in (runner.train, runner.test):
        with pytest.raises(ValueError, match='step 7 does not exist: the stream has'):
            call(step=7)


def test_exception_same_size_other_classes(finished, toy_neu_det, tmp_path):
    other = [['patches', 'inclusion', 'crazing'], ['pitted_surface']]
    cfg = load_config(
        CONFIG,
        cfg_options=options(toy_neu_det, **{'stream.protocol': other}),
        work_dir=str(tmp_path),
    )
    cfg.load_from = str(finished / 'step_0/epoch_2.pth')
    with pytest.raises(
        ValueError, match=r"knows the classes \['crazing', .*step 0 has"
    ):
        build_runner(cfg).test()


def test_feature_gap_to_joint(finished, toy_neu_det, tmp_path):
    cfg = load_config(
        CONFIG,
        cfg_options=options(toy_neu_det, **{'stream.joint': str(finished)}),
        work_dir=str(tmp_path),
    )
    cfg.load_from = str(finished / 'step_1/epoch_1.pth')
    scores = build_runner(cfg).test()
    assert scores['coco/gap_to_joint_all'] == pytest.approx(0, abs=1e-9)


def test_feature_test_flags_leave_the_recorded_config(finished, toy_neu_det, tmp_path):
    moved = tmp_path / 'moved'
    shutil.copytree(finished, moved)
    recorded = (moved / 'step_0' / f'{NAME}.py').read_text(encoding='utf-8')
    cfg = load_config(CONFIG, cfg_options=options(toy_neu_det))
    cfg.load_from = str(moved)
    use_tta(cfg)
    build_runner(cfg).test(step=0)
    assert (moved / 'step_0' / f'{NAME}.py').read_text(encoding='utf-8') == recorded


def test_feature_two_processes(toy_neu_det, tmp_path):
    """Batch norm learns in step 0, so the ranks must agree on it before the test."""
    args = [f'{key}={value}' for key, value in options(toy_neu_det).items()]
    work_dir = tmp_path / 'two'
    for script, target in (('train', ['--work-dir']), ('test', [])):
        command = ['bash', REPO / f'tools/dist_{script}.sh', CONFIG]
        command += [2, *target, work_dir] if target else [work_dir, 2]
        done = subprocess.run(
            [*map(str, command), '--cfg-options', *args],
            cwd=REPO,
            env=tool_env(PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}'),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        matrix = json.loads((work_dir / 'matrix.json').read_text(encoding='utf-8'))
        found = [row['per_class'] for row in matrix['steps']]
        if script == 'train':
            trained = found
            (work_dir / 'matrix.json').unlink()
    assert StreamState.load(work_dir).steps[1].state == 'finished'
    assert found == trained


def test_exception_load_from_is_not_a_start(toy_neu_det, tmp_path):
    with pytest.raises(ValueError, match=r'load_from=.* is not used by a stream'):
        stream_runner(toy_neu_det, tmp_path, load_from='x.pth').train()


def test_feature_finished_stream_resumes_to_nothing(finished, toy_neu_det):
    before = (finished / 'step_1/epoch_1.pth').stat().st_mtime_ns
    stream_runner(toy_neu_det, finished, resume=True).train()
    assert (finished / 'step_1/epoch_1.pth').stat().st_mtime_ns == before


def test_feature_resume_of_a_work_dir_with_former_type_names(
    finished, toy_neu_det, tmp_path
):
    """Recorded, with their hashes, before the image loader had its stock name."""
    moved = tmp_path / 'moved'
    shutil.copytree(finished, moved)
    state = StreamState.load(moved)
    for step in state.steps:
        path = moved / step.config
        text = path.read_text(encoding='utf-8')
        old = text.replace("'LoadImageFromFile'", "'mmdefect.LoadCachedImage'")
        assert old != text
        path.write_text(old, encoding='utf-8')
        step.config_hash = f'{step.step}' * 64
    state.save(moved)
    before = (moved / 'step_1/epoch_1.pth').stat().st_mtime_ns
    stream_runner(toy_neu_det, moved, resume=True).train()
    assert (moved / 'step_1/epoch_1.pth').stat().st_mtime_ns == before
    start = {'stream.start_from': str(moved)}
    runner = stream_runner(toy_neu_det, tmp_path / 'other', **start)
    runner.train(step=0)
    assert runner.state.steps[0].reused_from == str(moved)


def test_exception_changed_checkpoint(finished, toy_neu_det, tmp_path):
    moved = tmp_path / 'moved'
    shutil.copytree(finished, moved)
    stream_runner(toy_neu_det, moved, resume=True).train()  # a moved dir is fine
    with (moved / 'step_0/epoch_2.pth').open('ab') as file:
        file.write(b'x')
    with pytest.raises(ValueError, match='has changed since its step finished'):
        stream_runner(toy_neu_det, moved, resume=True).train()


def test_feature_test_of_a_work_dir_rewrites_the_matrix(
    finished, toy_neu_det, tmp_path
):
    moved = tmp_path / 'moved'
    shutil.copytree(finished, moved)
    expected = json.loads((moved / 'matrix.json').read_text(encoding='utf-8'))
    (moved / 'matrix.json').unlink()
    shutil.rmtree(moved / 'report')
    cfg = load_config(CONFIG, cfg_options=options(toy_neu_det))
    cfg.load_from = str(moved)
    build_runner(cfg).test()
    found = json.loads((moved / 'matrix.json').read_text(encoding='utf-8'))
    for row, wanted in zip(found['steps'], expected['steps'], strict=True):
        assert row['per_class'] == wanted['per_class']
    assert (moved / 'report' / 'index.html').is_file()


def test_feature_test_of_a_checkpoint_is_its_step(finished, toy_neu_det, tmp_path):
    cfg = load_config(CONFIG, cfg_options=options(toy_neu_det), work_dir=str(tmp_path))
    cfg.load_from = str(finished / 'step_0/epoch_2.pth')
    scores = build_runner(cfg).test()
    matrix = json.loads((finished / 'matrix.json').read_text(encoding='utf-8'))
    expected = matrix['steps'][0]['groups']['AP50']['all']
    assert scores['coco/AP50_all'] == pytest.approx(expected, abs=1e-9)
    assert 'coco/AP50/scratches' not in scores


def test_exception_checkpoint_of_another_step(finished, toy_neu_det, tmp_path):
    cfg = load_config(CONFIG, cfg_options=options(toy_neu_det), work_dir=str(tmp_path))
    cfg.load_from = str(finished / 'step_0/epoch_2.pth')
    with pytest.raises(ValueError, match=r'does not fit the model of step 1: 2 keys'):
        build_runner(cfg).test(step=1)


class TestStartFrom:
    def test_feature_reuses_the_teacher(self, finished, toy_neu_det, tmp_path):
        joint = REPO / 'configs/gfl_stream/joint_r18_fpn_toy_neu-det_3+3.py'
        more = {'stream.start_from': str(finished)}
        stream_runner(toy_neu_det, tmp_path / 'joint', config=joint, **more).train()
        state = StreamState.load(tmp_path / 'joint')
        assert state.steps[0].reused_from == str(finished)
        theirs = json.loads((finished / 'matrix.json').read_text(encoding='utf-8'))[
            'steps'
        ][0]
        ours = json.loads((tmp_path / 'joint/matrix.json').read_text(encoding='utf-8'))[
            'steps'
        ][0]
        assert ours['per_class'] == theirs['per_class']
        assert state.steps[1].started_from is None

    def test_exception_other_config(self, finished, toy_neu_det, tmp_path):
        more = {
            'stream.start_from': str(finished),
            'stream.base.optim_wrapper.optimizer.lr': 0.5,
        }
        message = r'cannot reuse step 0 of .*first at optim_wrapper\.optimizer\.lr'
        with pytest.raises(ValueError, match=message):
            stream_runner(toy_neu_det, tmp_path / 'other', **more).train()

    def test_exception_missing(self, toy_neu_det, tmp_path):
        with pytest.raises(
            FileNotFoundError, match='does not exist: expected the work dir'
        ):
            stream_runner(
                toy_neu_det, tmp_path / 'x', **{'stream.start_from': 'nowhere'}
            ).train()

    def test_feature_ordinary_checkpoint(self, finished, toy_neu_det, tmp_path):
        # A factory's running model: no stream in its meta.
        running = torch.load(finished / 'step_0/epoch_2.pth', weights_only=False)
        running['meta'].pop('stream')
        torch.save(running, tmp_path / 'running.pth')
        more = {'stream.start_from': str(tmp_path / 'running.pth')}
        stream_runner(toy_neu_det, tmp_path / 'x', **more).train(step=0)
        state = StreamState.load(tmp_path / 'x')
        assert state.steps[0].state == 'finished'
        assert state.steps[1].state == 'pending'

    def test_exception_checkpoint_of_other_classes(
        self, finished, toy_neu_det, tmp_path
    ):
        more = {'stream.start_from': str(finished / 'step_1/epoch_1.pth')}
        with pytest.raises(
            ValueError, match='cannot stand for step 0: it knows the classes'
        ):
            stream_runner(toy_neu_det, tmp_path / 'x', **more).train()


def test_exception_step_before_its_predecessor(toy_neu_det, tmp_path):
    with pytest.raises(ValueError, match='step 1 cannot run: step 0 is not finished'):
        stream_runner(toy_neu_det, tmp_path / 'x').train(step=1)


@pytest.mark.parametrize('workers', [0, 2])
def test_feature_killed_and_resumed_is_bit_equal(workers, toy_neu_det, tmp_path):
    """SIGKILL in the middle of step 1; the final parameters must not notice."""
    config = tmp_path / f'{NAME}.py'
    more = options(
        toy_neu_det,
        **{
            'train_dataloader.num_workers': workers,
            'stream.base.train_cfg.max_epochs': 1,
            'stream.increment.train_cfg.max_epochs': 3,
            'stream.increment.custom_hooks': [
                {'type': 'mmdefect.SamplePredictionsHook'},
                {'type': 'KillHook', 'step': 1},
            ],
        },
    )
    cfg = load_config(CONFIG)
    cfg.merge_from_dict(more)
    cfg.custom_imports = {'imports': ['mmdefect', 'kill_hook']}
    cfg.pop('work_dir')
    cfg.dump(config)
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    run_tool('tools/train.py', config, '--work-dir', whole)
    dead = run_tool(
        'tools/train.py',
        config,
        '--work-dir',
        killed,
        check=False,
        env={'KILL_AT': '1,1,1'},
    )
    assert dead.returncode == -signal.SIGKILL
    assert StreamState.load(killed).steps[1].state == 'running'
    moved = killed.rename(tmp_path / 'moved')  # paths in stream.json are relative
    run_tool('tools/train.py', config, '--work-dir', moved, '--resume')
    resumed = (moved / 'step_1' / f'{NAME}.py').read_text(encoding='utf-8')
    assert 'resume = False' in resumed  # the recorded config still trains alone
    final = [
        load_weights(run / 'step_1/epoch_3.pth')['state_dict'] for run in (whole, moved)
    ]
    assert final[0].keys() == final[1].keys()
    assert all(torch.equal(final[0][key], final[1][key]) for key in final[0])
    start = load_weights(whole / 'step_0/epoch_1.pth')['state_dict']
    assert not torch.equal(
        start['neck.fpn_convs.0.conv.weight'], final[0]['neck.fpn_convs.0.conv.weight']
    )


class TestStockTools:
    """The same files under mmdet's own tools."""

    @pytest.fixture(scope='class')
    def stock_tools(self) -> Path:
        from importlib.util import find_spec

        return Path(find_spec('mmdet').origin).parent / '.mim' / 'tools'

    def stock_train(self, stock_tools, config, work_dir, *cfg_options):
        done = subprocess.run(
            [
                sys.executable,
                str(stock_tools / 'train.py'),
                str(config),
                '--work-dir',
                str(work_dir),
                '--cfg-options',
                *cfg_options,
            ],
            # As many threads as here: bit equality needs the same order of sums.
            env=tool_env(OMP_NUM_THREADS=str(torch.get_num_threads())),
            cwd=work_dir.parent,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def test_feature_dumped_step_config(self, stock_tools, finished, tmp_path):
        config = finished / 'step_1' / f'{NAME}.py'
        self.stock_train(stock_tools, config, tmp_path / 'alone', 'resume=False')
        alone = load_weights(tmp_path / 'alone/epoch_1.pth')['state_dict']
        inside = load_weights(finished / 'step_1/epoch_1.pth')['state_dict']
        assert all(torch.equal(alone[key], inside[key]) for key in inside)

    def test_feature_stream_config(self, stock_tools, toy_neu_det, tmp_path):
        cfg = load_config(CONFIG)
        cfg.merge_from_dict(options(toy_neu_det))
        cfg.pop('work_dir')
        config = tmp_path / 'stream_from_stock.py'
        cfg.dump(config)
        self.stock_train(stock_tools, config, tmp_path / 'w', 'stream.protocol=5+1')
        state = StreamState.load(tmp_path / 'w')
        assert [len(s.classes) for s in state.steps] == [5, 1]
        assert [s.state for s in state.steps] == ['finished', 'finished']
