from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdefect.apis import load_config
from mmdefect.engine.distributed import (
    leave_process_group,
    on_main_process,
    prepare_distributed,
)
from mmdefect.streams.resolve import build_stream, resolve_step_config
from tests.conftest import HELPERS, REPO, tool_env

TOY = 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'


def free_port() -> int:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def equality_run(out, root, processes, batch, config=TOY):
    """Run the helper with one or several processes; return what each rank saved."""
    out.mkdir()
    launch, launcher = [sys.executable], 'none'
    if processes > 1:
        launch += [
            '-m',
            'torch.distributed.run',
            f'--nproc_per_node={processes}',
            f'--master_port={free_port()}',
        ]
        launcher = 'pytorch'
    args = [HELPERS / 'equality_run.py', REPO / config, root, out, launcher, batch]
    done = subprocess.run(
        [*launch, *map(str, args)],
        cwd=REPO,
        env=tool_env(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(out / f'rank{r}.pth') for r in range(processes)]


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


def test_feature_two_processes_equal_one(tmp_path, toy_neu_det):
    (one,) = equality_run(tmp_path / 'one', toy_neu_det, 1, 4)
    two = equality_run(tmp_path / 'two', toy_neu_det, 2, 2)
    assert two[0]['losses'] != two[1]['losses']  # each rank really saw its own images
    assert_equal_runs(one, two)


@pytest.mark.parametrize(
    'name', ['sd_idd/sd-idd', 'erd/erd', 'erd/lwf'], ids=lambda name: name.split('/')[1]
)
def test_feature_two_students_equal_one(tmp_path, toy_neu_det, name):
    """Distillation losses are means over the images of the global batch."""
    config = student_config(tmp_path, name)
    (one,) = equality_run(tmp_path / 'one', toy_neu_det, 1, 4, config)
    two = equality_run(tmp_path / 'two', toy_neu_det, 2, 2, config)
    assert two[0]['losses'] != two[1]['losses']
    distilled = {k for k in one['losses'][0] if k.startswith('loss_dist_')}
    assert len(distilled) == {'sd-idd': 3, 'erd': 2, 'lwf': 1}[name.split('/')[1]]
    for losses in one['losses']:
        assert all(losses[key] > 1e-4 for key in distilled), losses
    assert_equal_runs(one, two)


def student_config(folder, name):
    """Step 1 of a toy stream, its teacher a detector of three classes."""
    cfg = load_config(REPO / f'configs/{name}_r18_fpn_toy_neu-det_3+3.py')
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
    if name != 'erd/lwf':  # an untrained teacher rarely stands out by two deviations
        step.model.distill.classification = {'num_std': 0.5}
    step.dump(folder / 'student.py')
    return folder / 'student.py'


def test_smoke_without_launcher_nothing_happens():
    cfg = Config({'launcher': 'none'})
    prepare_distributed(cfg)
    assert 'model_wrapper_cfg' not in cfg


def test_exception_slurm_without_a_gpu(monkeypatch):
    monkeypatch.setattr('mmdefect.engine.distributed.get_device', lambda: 'cpu')
    message = "launcher 'slurm' needs a GPU and this machine has none"
    with pytest.raises(ValueError, match=message):
        prepare_distributed(Config({'launcher': 'slurm'}))


def test_feature_on_main_process_returns_and_raises():
    assert on_main_process(lambda: 3) == 3
    with pytest.raises(KeyError, match='x'):
        on_main_process(lambda: {}['x'])


def test_smoke_leaving_no_group_goes_on():
    """Outside a group the process must live on: this test would not end otherwise."""
    leave_process_group()
