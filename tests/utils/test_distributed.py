"""Process groups on CPUs. Slow: two processes train what one trains."""

from __future__ import annotations

import pickle

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdefect.apis import load_config
from mmdefect.streams.stream import build_stream, resolve_step_config
from mmdefect.utils.distributed import (
    leave_process_group,
    on_main_process,
    prepare_distributed,
)
from tests.conftest import HELPERS, REPO
from tests.helpers.ranks import run_ranks

TOY = 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
STUDENTS = {
    'sd-idd': 'sd_idd/sd-idd_r18',
    'erd': 'erd/erd_r18',
    'lwf': 'erd/lwf_r18',
    'cross': 'erd/lwf_r18',
    'atss': 'atss/lwf_atss-r18',
}


def equality_runs(out, root, processes, batch, configs, programs):
    """Run the helper with one or several processes; what each rank saved, by name."""
    for name in configs:
        (out / name).mkdir(parents=True)
    launcher = 'pytorch' if processes > 1 else 'none'
    named = [f'{name}={path}' for name, path in configs.items()]
    script = HELPERS / 'equality_run.py'
    args = (script, root, out, launcher, batch, *named)
    run_ranks(*args, processes=processes, programs=programs)
    return {
        name: [torch.load(out / name / f'rank{r}.pth') for r in range(processes)]
        for name in configs
    }


@pytest.fixture(scope='module')
def runs(warm, tmp_path_factory, toy_neu_det):
    """Each config with one process and with two, who share its batch."""
    folder = tmp_path_factory.mktemp('equality')
    configs = {'gfl': REPO / TOY}
    for name in STUDENTS:
        (folder / name).mkdir()
        configs[name] = student_config(folder / name, name)
    return tuple(
        equality_runs(folder / name, toy_neu_det, processes, batch, configs, warm)
        for name, processes, batch in (('one', 1, 4), ('two', 2, 2))
    )


def assert_equal_runs(one, two):
    """Losses averaged over ranks and final parameters agree to 1e-4 relative."""
    assert len(one['losses']) == 5
    for i, alone in enumerate(one['losses']):
        ranks = [run['losses'][i] for run in two]
        assert alone.keys() == ranks[0].keys()
        for key, value in alone.items():
            mean = sum(rank[key] for rank in ranks) / len(ranks)
            assert mean == pytest.approx(value, rel=1e-4), (i, key)
    for run in two:
        for name, tensor in one['state_dict'].items():
            other = run['state_dict'][name]
            scale = tensor.abs().max().clamp(min=1e-8)
            assert ((tensor - other).abs().max() / scale) < 1e-4, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'terms'),
    [('gfl', 0), ('sd-idd', 3), ('erd', 2), ('lwf', 1), ('cross', 3), ('atss', 1)],
)
def test_feature_two_processes_equal_one(runs, name, terms):
    (one,), two = (found[name] for found in runs)
    assert two[0]['losses'] != two[1]['losses']  # each rank really saw its own images
    assert_equal_runs(one, two)
    # What is compared is there.
    distilled = {k for k in one['losses'][0] if k.startswith('loss_dist_')}
    assert len(distilled) == terms
    for losses in one['losses']:
        assert all(losses[key] > 1e-4 for key in distilled), losses


def student_config(folder, name):
    """Step 1 of a toy stream, its teacher a detector of three classes."""
    cfg = load_config(REPO / f'configs/{STUDENTS[name]}_fpn_toy_neu-det_3+3.py')
    stream = build_stream(cfg)
    with DefaultScope.overwrite_default_scope('mmdet'):
        teacher = MODELS.build(resolve_step_config(cfg, 0, stream).model)
    torch.manual_seed(0)
    # confident somewhere and elsewhere not, as a trained teacher is
    for parameter in teacher.bbox_head.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    torch.save({'state_dict': teacher.state_dict()}, folder / 'teacher.pth')
    step = resolve_step_config(cfg, 1, stream)
    stream.chain(step, 1, str(folder / 'teacher.pth'))
    if name == 'cross':
        step.model.distill = {'type': 'mmdefect.CrossHeadDistillation'}
    if name in (
        'sd-idd',
        'erd',
    ):  # an untrained teacher rarely stands out by two deviations
        step.model.distill.classification = {'num_std': 0.5}
    step.dump(folder / 'student.py')
    return folder / 'student.py'


def test_smoke_without_launcher_nothing_happens():
    cfg = Config({'launcher': 'none'})
    prepare_distributed(cfg)
    assert 'model_wrapper_cfg' not in cfg


def test_exception_slurm_without_a_gpu(monkeypatch):
    monkeypatch.setattr('mmdefect.utils.distributed.get_device', lambda: 'cpu')
    message = "launcher='slurm': expected a GPU on this machine; start CPU"
    with pytest.raises(ValueError, match=message):
        prepare_distributed(Config({'launcher': 'slurm'}))


def test_feature_on_main_process_returns_and_raises():
    assert on_main_process(lambda: 3) == 3
    with pytest.raises(KeyError, match='x'):
        on_main_process(lambda: {}['x'])


def test_feature_on_main_process_within_itself_keeps_nobody_waiting(monkeypatch):
    """The other ranks take part in the outer call only."""
    spoken = []
    monkeypatch.setattr('mmdefect.utils.distributed.is_distributed', lambda: True)
    monkeypatch.setattr('mmdefect.utils.distributed._wait_for_rank_0', lambda: None)
    monkeypatch.setattr(
        'mmdefect.utils.distributed.broadcast_object_list',
        lambda outcome, src: spoken.append(list(outcome)),
    )
    assert on_main_process(lambda: on_main_process(lambda: 3) + 1) == 4
    assert spoken == [[4, None]]
    with pytest.raises(KeyError, match='x'):
        on_main_process(lambda: on_main_process(lambda: {}['x']))
    assert len(spoken) == 2
    on_main_process(lambda: None)  # an error leaves nothing behind
    assert len(spoken) == 3


@pytest.mark.slow
@pytest.mark.parametrize('fails', ['', 'fails'])
def test_feature_rank_0_may_take_longer_than_a_collective(tmp_path, fails):
    """Images are drawn, and hashes taken, for longer than ten minutes."""
    run_ranks(HELPERS / 'long_work.py', tmp_path, *filter(None, [fails]))
    said = sorted(path.read_text() for path in tmp_path.iterdir())
    assert said == (
        ['0 ValueError: long', '1 ValueError: long'] if fails else ['0', '1']
    )


def test_exception_that_cannot_be_sent_still_reaches_all_ranks(monkeypatch):
    """Such as one whose class needs more than its message to be made again."""

    class TwoWordsError(ValueError):
        def __init__(self, name, place):
            super().__init__(f'{name} in {place}')

    def fail():
        raise TwoWordsError('NaN', 'x')

    spoken = []
    monkeypatch.setattr('mmdefect.utils.distributed.is_distributed', lambda: True)
    monkeypatch.setattr('mmdefect.utils.distributed._wait_for_rank_0', lambda: None)
    monkeypatch.setattr(
        'mmdefect.utils.distributed.broadcast_object_list',
        lambda outcome, src: spoken.append(pickle.loads(pickle.dumps(outcome))),
    )
    with pytest.raises(RuntimeError, match=r'^TwoWordsError: NaN in x$'):
        on_main_process(fail)
    assert str(spoken[0][1]) == 'TwoWordsError: NaN in x'


def test_smoke_leaving_no_group_goes_on():
    """Outside a group the process must live on: this test would not end otherwise."""
    leave_process_group()
