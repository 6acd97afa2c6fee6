"""Curves and times of logged trainings."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.helpers.study_runs import load_tool
from tests.helpers.synthetic_stream import make_stream


def analyze(*args: object) -> None:
    load_tool('tools/analysis_tools/analyze_logs.py').main(list(map(str, args)))


def test_smoke(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    out = tmp_path / 'curves.png'
    keys = ['--keys', 'loss', 'loss_cls']
    analyze('plot_curve', work_dir, work_dir / 'step_0', *keys, '--out', out)
    assert Image.open(out).size[0] > 300
    with pytest.raises(SystemExit, match=r'--keys acc: expected of .*epoch, loss'):
        analyze('plot_curve', work_dir, '--keys', 'acc', '--out', out)


def test_feature_train_time_of_every_step(tmp_path, capsys) -> None:
    analyze('cal_train_time', make_stream(tmp_path))
    # times repeat 0.50, 0.51, 0.52, 0.53
    said = (
        '0.5150 s an iteration on average, median 0.5150, slowest 0.5300, 40 log lines'
    )
    assert capsys.readouterr().out.splitlines() == [
        f'finetune/step_0: {said}',
        f'finetune/step_1: {said}',
    ]
    with pytest.raises(SystemExit, match='expected work dirs of training'):
        analyze('cal_train_time', tmp_path)
