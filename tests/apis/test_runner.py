from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

from mmdefect.apis import build_runner, load_config
from mmdefect.engine.hooks.exact_checkpoint import ExactCheckpointHook
from mmdefect.engine.hooks.finite_loss import FiniteLossHook
from mmdefect.streams.runner import StreamRunner

REPO = Path(__file__).parents[2]
PLAIN = REPO / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
STREAM = REPO / 'configs/gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py'


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ('true',)


def test_smoke_config_without_a_stream(tmp_path: Path) -> None:
    """MMEngine's own Runner, not a subclass."""
    runner = build_runner(load_config(PLAIN, work_dir=str(tmp_path)))
    assert type(runner) is Runner
    assert runner.model.bbox_head.num_classes == 6
    assert Path(runner.work_dir) == tmp_path
    assert {ExactCheckpointHook, FiniteLossHook} < {type(h) for h in runner.hooks}
    # The config that it dumps and that a resume compares is the user's.
    assert 'FiniteLossHook' not in runner.cfg.pretty_text


def test_feature_each_run_writes_to_its_own_folder(tmp_path: Path) -> None:
    """Also where the folder of the one before is gone."""
    first = build_runner(load_config(PLAIN, work_dir=str(tmp_path / 'first')))
    shutil.rmtree(tmp_path / 'first')
    second = build_runner(load_config(PLAIN, work_dir=str(tmp_path / 'second')))
    assert second.visualizer is not first.visualizer
    assert list((tmp_path / 'second').glob('*/vis_data/config.py'))
    assert not (tmp_path / 'first').exists()


def test_smoke_stream(tmp_path: Path) -> None:
    runner = build_runner(load_config(STREAM, work_dir=str(tmp_path / 'w')))
    assert type(runner) is StreamRunner
    assert runner.work_dir == tmp_path / 'w'
    assert not runner.work_dir.exists()  # building touches nothing


def test_feature_checkpoints_are_data(tmp_path: Path) -> None:
    """From here on MMEngine refuses a checkpoint with code in it."""
    build_runner(load_config(STREAM, work_dir=str(tmp_path / 'w')))
    torch.save({'state_dict': {}, 'meta': Evil()}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match=r"it names '(posix|os)\.system', which was"):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'evil.pth'))


def test_exception_launcher_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmdefect.utils.distributed.get_device', lambda: 'cpu')
    for config in (PLAIN, STREAM):
        cfg = load_config(config, work_dir=str(tmp_path), launcher='slurm')
        with pytest.raises(ValueError, match="launcher='slurm': expected a GPU"):
            build_runner(cfg)


def test_exception_two_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = {'onedl': {'onedl-mmcv': '2.3.6'}, 'openmmlab': {'mmcv': '2.1.0'}}
    monkeypatch.setattr('mmdefect.compat.installed_distributions', lambda: both)
    with pytest.raises(ImportError, match='two OpenMMLab builds are installed'):
        build_runner(load_config(PLAIN, work_dir=str(tmp_path)))


def test_exception_unknown_type(tmp_path: Path) -> None:
    path = tmp_path / 'mine.py'
    path.write_text("model = dict(type='Nope')", encoding='utf-8')
    with pytest.raises(ValueError, match=r'mine\.py cannot be run \(KeyError: Nope is'):
        build_runner(load_config(path, work_dir=str(tmp_path / 'work')))
