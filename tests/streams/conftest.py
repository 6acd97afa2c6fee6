"""A toy stream of boxes that several test files look at."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from mmdefect.apis import build_runner, load_config
from mmdefect.streams.report import plots, samples, stream
from tests.conftest import REPO, toy_options

CONFIG = REPO / 'configs/gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py'
NAME = CONFIG.stem


def options(root: Path, **more: Any) -> dict[str, Any]:
    """``--cfg-options`` of a short training."""
    return {
        **toy_options(root),
        'stream.base.train_cfg.max_epochs': 1,
        'stream.increment.train_cfg.max_epochs': 1,
        'train_dataloader.batch_size': 6,
        'default_hooks.logger.interval': 1,
        **more,
    }


def stream_runner(
    root: Path, work_dir: Path, config: Path = CONFIG, resume: bool = False, **more: Any
) -> Any:
    """The runner of the toy stream."""
    cfg = load_config(config, cfg_options=options(root, **more), work_dir=str(work_dir))
    cfg.resume = resume
    return build_runner(cfg)


def copied(work_dir: Path, to: Path) -> Path:
    """A copy of a stream; its checkpoints are links, not to be written into."""

    def copy(file: str, target: str) -> Any:
        return (os.link if file.endswith('.pth') else shutil.copy2)(file, target)

    return Path(shutil.copytree(work_dir, to, copy_function=copy))


class Copy(Hook):
    """Copies the work dir of a stream after the first of two epochs of a step."""

    priority = 'LOWEST'  # after the checkpoint

    def __init__(self, to: Path) -> None:
        self.to = to

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.max_epochs == 2 and runner.epoch == 0:
            shutil.copytree(Path(runner.work_dir).parent, self.to)


def copy_midway(patch: pytest.MonkeyPatch, to: Path) -> None:
    """Have the next stream leave what a kill in its last step would have left."""
    train = Runner.train

    def copying(self: Runner) -> Any:
        self.register_hook(Copy(to))
        return train(self)

    patch.setattr(Runner, 'train', copying)


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Figures, which take most of the time of a report, are empty files."""

    def save(figure: Any, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('1', (1, 1)).save(path)
        return path

    for module, draws in (
        (plots, ('heat_map', 'group_bars')),
        (samples, ('draw_panels',)),
        (stream, ('curves',)),
    ):
        patch.setattr(module, 'save_figure', save)
        for name in draws:
            patch.setattr(module, name, lambda *_, **__: None)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of this test are without figures."""
    draw_nothing(monkeypatch)


@pytest.fixture(scope='session')
def finished(tmp_path_factory: pytest.TempPathFactory, toy_neu_det: Path) -> Path:
    """A finished two-step stream; leave it as it is."""
    work_dir = tmp_path_factory.mktemp('work') / 'finetune'
    stream_runner(toy_neu_det, work_dir).train()
    return work_dir
