"""analyze_logs.py as a user runs it."""

from __future__ import annotations

from PIL import Image

from tests.conftest import run_tool
from tests.helpers.synthetic_stream import make_stream

TOOL = 'tools/analysis_tools/analyze_logs.py'


def test_smoke(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    out = tmp_path / 'curves.png'
    keys = ['--keys', 'loss', 'loss_cls']
    run_tool(TOOL, 'plot_curve', work_dir, work_dir / 'step_0', *keys, '--out', out)
    assert Image.open(out).size[0] > 300


def test_feature_train_time_of_every_step(tmp_path) -> None:
    done = run_tool(TOOL, 'cal_train_time', make_stream(tmp_path))
    # times repeat 0.50, 0.51, 0.52, 0.53
    said = (
        '0.5150 s an iteration on average, median 0.5150, slowest 0.5300, 40 log lines'
    )
    assert done.stdout.splitlines() == [
        f'finetune/step_0: {said}',
        f'finetune/step_1: {said}',
    ]


def test_exception_key_and_folder(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    args = ['--keys', 'acc', '--out', tmp_path / 'x.png']
    done = run_tool(TOOL, 'plot_curve', work_dir, *args, check=False)
    assert done.returncode == 1
    assert 'acc was never logged, one of epoch, loss' in done.stderr
    done = run_tool(TOOL, 'cal_train_time', tmp_path, check=False)
    assert done.returncode == 1
    assert 'no vis_data/scalars.json' in done.stderr
