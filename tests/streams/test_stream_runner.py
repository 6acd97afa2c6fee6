"""Two toy steps, end to end: folders, chaining, refusals, resume.

Slow are those that train or test once more: in two processes, killed, or by mmdet's
own tools.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from mmdefect.apis import build_runner, load_config, use_tta
from mmdefect.streams.state import StreamState
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import HELPERS, REPO, run_tool, tool_env
from tests.helpers.synthetic_stream import steps_of
from tests.helpers.tool_runs import flags, run_here, run_script
from tests.streams.conftest import CONFIG, NAME, copied, options, stream_runner

pytestmark = pytest.mark.usefixtures('undrawn')  # but `finished`
STEP_1_HEAD = 'bbox_head.gfl_cls.weight'


def test_smoke_folders(finished):
    state = StreamState.load(finished)
    assert [s.state for s in state.steps] == ['finished', 'finished']
    assert state.steps[0].checkpoint == 'step_0/epoch_1.pth'
    assert state.steps[1].checkpoint == 'step_1/epoch_1.pth'
    assert state.steps[1].started_from == 'step_0/epoch_1.pth'
    steps = steps_of(finished)
    assert [row['step'] for row in steps] == [0, 1]
    assert set(steps[1]['groups']['AP50']) == {'old', 'new', 'all'}
    assert (finished / 'report' / 'index.html').is_file()
    assert str(finished) not in (finished / 'stream.json').read_text(encoding='utf-8')


def test_feature_every_scalar_in_its_own_folder(finished):
    for step in (0, 1):
        (file,) = (finished / f'step_{step}').glob('*/vis_data/scalars.json')
        rows = map(json.loads, file.read_text(encoding='utf-8').splitlines())
        assert {row['epoch'] for row in rows if 'loss_cls' in row} == {1}
        (file,) = (finished / f'step_{step}').glob('*/2*.json')  # one test a step
        scores = json.loads(file.read_text(encoding='utf-8'))
        assert ('coco/AP50_old' in scores) == (step == 1)


def test_feature_checkpoint_is_the_student_and_names_its_step(finished):
    loaded = load_weights(finished / 'step_1/epoch_1.pth')
    assert loaded['meta']['stream']['step'] == 1
    assert loaded['state_dict'][STEP_1_HEAD].shape[0] == 6
    classes = list(loaded['meta']['dataset_meta']['classes'])
    assert classes[:3] == ['crazing', 'inclusion', 'patches']


def test_feature_resolved_config_is_ordinary(finished):
    text = (finished / 'step_1' / f'{NAME}.py').read_text(encoding='utf-8')
    assert 'runner_type' not in text
    assert '\nstream = ' not in text


def test_exception_existing_work_dir(finished, toy_neu_det):
    with pytest.raises(FileExistsError, match=r'already holds a stream .*add --resume'):
        stream_runner(toy_neu_det, finished).train()


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (
            {'optim_wrapper.optimizer.weight_decay': 0.5},
            r'has changed, first at optim_wrapper\.optimizer\.weight_decay',
        ),
        ({'stream.protocol': '5+1'}, r'expected the steps .* that it was started'),
        ({'stream.start_from': 'x.pth'}, r'expected stream\.start_from=None that it'),
        ({'load_from': 'x.pth'}, "load_from='x.pth': expected none in a stream"),
    ],
)
def test_exception_resume_with_a_changed_config(
    finished, toy_neu_det, changed, message
):
    with pytest.raises(ValueError, match=message):
        stream_runner(toy_neu_det, finished, resume=True, **changed).train()


def test_exception_no_such_step(finished, toy_neu_det):
    runner = stream_runner(toy_neu_det, finished, resume=True)
    for call in (runner.train, runner.test):
        with pytest.raises(ValueError, match='step=7: expected at least 0 and at'):
            call(step=7)


@pytest.fixture
def tested(finished, toy_neu_det, tmp_path):
    """Test a checkpoint of the stream, or a copy of its work dir."""

    def test(load_from=None, step=None, prepare=lambda cfg: None, **more):
        options_ = options(toy_neu_det, **more)
        work_dir = str(tmp_path / 'w') if load_from else None
        cfg = load_config(CONFIG, cfg_options=options_, work_dir=work_dir)
        cfg.load_from = str(finished / load_from if load_from else tmp_path / 'moved')
        prepare(cfg)
        return build_runner(cfg).test(step=step)

    return test


def test_exception_checkpoint_of_other_classes_or_another_step(tested):
    other = [['patches', 'inclusion', 'crazing'], ['pitted_surface']]
    with pytest.raises(ValueError, match=r"of step 0, it knows \['crazing', "):
        tested('step_0/epoch_1.pth', **{'stream.protocol': other})
    with pytest.raises(ValueError, match=r'expected the weights of step 1; 2 keys are'):
        tested('step_0/epoch_1.pth', step=1)


def test_feature_test_of_a_checkpoint_is_its_step(finished, tested):
    scores = tested('step_0/epoch_1.pth')
    expected = steps_of(finished)[0]['groups']['AP50']['all']
    assert scores['coco/AP50_all'] == pytest.approx(expected, abs=1e-9)
    assert 'coco/AP50/scratches' not in scores


def test_feature_boxes_are_diagnosed_after_every_step(finished):
    first, second = steps_of(finished)
    assert list(first['diagnosis']['classes']) == first['new']
    assert list(second['diagnosis']['classes']) == second['old'] + second['new']
    for row in (*first['diagnosis']['classes'].values(),):
        assert row['own_ap50'] is not None
        assert row['calibrated'] is False
    assert 'coco/foreign_false_alarms_old' not in first['scalars']
    assert second['scalars']['coco/foreign_false_alarms_old'] >= 0
    assert second['groups']['own_AP50'] == {
        group: pytest.approx(second['scalars'][f'coco/{group}_own_AP50'])
        for group in ('old', 'new', 'all')
    }


@pytest.mark.slow
def test_feature_test_of_a_work_dir_rewrites_the_matrix(finished, tested, tmp_path):
    moved = copied(finished, tmp_path / 'moved')
    expected = [row['per_class'] for row in steps_of(moved)]
    (moved / 'matrix.json').unlink()
    shutil.rmtree(moved / 'report')
    tested()
    assert [row['per_class'] for row in steps_of(moved)] == expected
    assert (moved / 'report' / 'index.html').is_file()


@pytest.mark.slow
def test_feature_test_flags_leave_the_recorded_config(finished, tested, tmp_path):
    recorded = copied(finished, tmp_path / 'moved') / 'step_0' / f'{NAME}.py'
    before = recorded.read_text(encoding='utf-8')
    tested(step=0, prepare=use_tta)
    assert recorded.read_text(encoding='utf-8') == before


@pytest.mark.slow
def test_feature_two_processes(warm, toy_neu_det, tmp_path):
    """Batch norm learns in step 0, so the ranks must agree on it before the test."""
    args = flags(options(toy_neu_det))
    work_dir = tmp_path / 'two'
    target = (CONFIG, 2, '--work-dir', work_dir)
    run_script('tools/dist_train.sh', *target, *args, programs=warm)
    trained = [row['per_class'] for row in steps_of(work_dir)]
    (work_dir / 'matrix.json').unlink()
    run_script('tools/dist_test.sh', CONFIG, work_dir, 2, *args, programs=warm)
    assert StreamState.load(work_dir).steps[1].state == 'finished'
    assert [row['per_class'] for row in steps_of(work_dir)] == trained


@pytest.mark.slow
def test_feature_resume_of_a_work_dir_with_former_type_names(
    finished, toy_neu_det, tmp_path
):
    """Recorded, with their hashes, before the image loader had its stock name."""
    moved = copied(finished, tmp_path / 'moved')
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
    path = copied(finished, tmp_path / 'moved') / 'step_0/epoch_1.pth'
    path.unlink()
    path.write_bytes((finished / 'step_0/epoch_1.pth').read_bytes() + b'x')
    with pytest.raises(ValueError, match='has changed since its step finished'):
        stream_runner(toy_neu_det, tmp_path / 'moved', resume=True).train()


class TestStartFrom:
    @pytest.mark.slow
    def test_feature_reuses_the_teacher(self, finished, toy_neu_det, tmp_path):
        joint = REPO / 'configs/gfl_stream/joint_r18_fpn_toy_neu-det_3+3.py'
        more = {'stream.start_from': str(finished)}
        stream_runner(toy_neu_det, tmp_path / 'joint', config=joint, **more).train()
        state = StreamState.load(tmp_path / 'joint')
        assert state.steps[0].reused_from == str(finished)
        theirs, ours = (steps_of(folder) for folder in (finished, tmp_path / 'joint'))
        assert ours[0]['per_class'] == theirs[0]['per_class']
        assert state.steps[1].started_from is None

    @pytest.mark.parametrize(
        ('source', 'more', 'error', 'message'),
        [
            (
                '.',
                {'stream.base.optim_wrapper.optimizer.lr': 0.5},
                ValueError,
                r'step 0 of the same config; .*first at optim_wrapper\.optimizer\.lr',
            ),
            ('nowhere', {}, FileNotFoundError, 'expected the work dir of a stream or'),
            (
                'step_1/epoch_1.pth',
                {},
                ValueError,
                r"the classes \['crazing', .*'patches'\] of step 0, it knows",
            ),
        ],
    )
    def test_exception(
        self, finished, toy_neu_det, tmp_path, source, more, error, message
    ):
        start = {'stream.start_from': str(finished / source)}
        with pytest.raises(error, match=message):
            stream_runner(toy_neu_det, tmp_path / 'x', **start, **more).train()

    @pytest.mark.slow
    def test_feature_ordinary_checkpoint(self, finished, toy_neu_det, tmp_path):
        # A factory's running model: no stream in its meta.
        running = torch.load(finished / 'step_0/epoch_1.pth', weights_only=False)
        running['meta'].pop('stream')
        torch.save(running, tmp_path / 'running.pth')
        more = {'stream.start_from': str(tmp_path / 'running.pth')}
        stream_runner(toy_neu_det, tmp_path / 'x', **more).train(step=0)
        state = StreamState.load(tmp_path / 'x')
        assert state.steps[0].state == 'finished'
        assert state.steps[1].state == 'pending'


def test_exception_step_before_its_predecessor(toy_neu_det, tmp_path):
    with pytest.raises(ValueError, match='expected a finished step 0 before step 1'):
        stream_runner(toy_neu_det, tmp_path / 'x').train(step=1)


@pytest.mark.slow
def test_feature_killed_and_resumed_is_bit_equal(
    warm, toy_neu_det, tmp_path, monkeypatch
):
    """SIGKILL in the middle of step 1; the final parameters must not notice.

    With processes that load: others die without in test_random_kills.py.
    """
    config = tmp_path / f'{NAME}.py'
    more = options(
        toy_neu_det,
        **{
            'train_dataloader.num_workers': 2,
            'stream.increment.train_cfg.max_epochs': 2,
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
    monkeypatch.syspath_prepend(HELPERS)
    run_here('tools/train.py', config, '--work-dir', whole)
    dead = run_tool(
        'tools/train.py', config, '--work-dir', killed, check=False,
        env={'KILL_AT': '1,1,1'}, programs=warm,
    )  # fmt: skip
    assert dead.returncode == -signal.SIGKILL
    assert StreamState.load(killed).steps[1].state == 'running'
    moved = killed.rename(tmp_path / 'moved')  # paths in stream.json are relative
    args = ('--work-dir', moved, '--resume')
    run_tool('tools/train.py', config, *args, programs=warm)
    resumed = (moved / 'step_1' / f'{NAME}.py').read_text(encoding='utf-8')
    assert 'resume = False' in resumed  # the recorded config still trains alone
    final = [
        load_weights(run / 'step_1/epoch_2.pth')['state_dict'] for run in (whole, moved)
    ]
    assert final[0].keys() == final[1].keys()
    assert all(torch.equal(final[0][key], final[1][key]) for key in final[0])
    start = load_weights(whole / 'step_0/epoch_1.pth')['state_dict']
    assert not torch.equal(
        start['neck.fpn_convs.0.conv.weight'], final[0]['neck.fpn_convs.0.conv.weight']
    )


@pytest.mark.slow
class TestStockTools:
    """The same files under mmdet's own tools."""

    @pytest.fixture(scope='class')
    def stock_tools(self) -> Path:
        from importlib.util import find_spec

        return Path(find_spec('mmdet').origin).parent / '.mim' / 'tools'

    def stock_train(self, programs, stock_tools, config, work_dir, *cfg_options):
        command = [str(programs / 'python'), str(stock_tools / 'train.py'), str(config)]
        flags = ['--work-dir', str(work_dir), '--cfg-options', *cfg_options]
        done = subprocess.run(
            [*command, *flags],
            # As many threads as here: bit equality needs the same order of sums.
            env=tool_env(OMP_NUM_THREADS=str(torch.get_num_threads())),
            cwd=work_dir.parent,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]

    def test_feature_dumped_step_config(self, warm, stock_tools, finished, tmp_path):
        config = finished / 'step_1' / f'{NAME}.py'
        work_dir = tmp_path / 'alone'
        self.stock_train(warm, stock_tools, config, work_dir, 'resume=False')
        alone = load_weights(work_dir / 'epoch_1.pth')['state_dict']
        inside = load_weights(finished / 'step_1/epoch_1.pth')['state_dict']
        assert all(torch.equal(alone[key], inside[key]) for key in inside)

    def test_feature_stream_config(self, warm, stock_tools, toy_neu_det, tmp_path):
        cfg = load_config(CONFIG)
        cfg.merge_from_dict(options(toy_neu_det))
        cfg.pop('work_dir')
        config = tmp_path / 'stream_from_stock.py'
        cfg.dump(config)
        work_dir = tmp_path / 'w'
        self.stock_train(warm, stock_tools, config, work_dir, 'stream.protocol=5+1')
        state = StreamState.load(work_dir)
        assert [len(s.classes) for s in state.steps] == [5, 1]
        assert [s.state for s in state.steps] == ['finished', 'finished']
