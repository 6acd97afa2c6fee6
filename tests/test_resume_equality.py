"""A run that dies and is resumed ends as one that did not, bit for bit: all four tasks.

A death is a copy of the work dir at that moment: what a kill leaves. By a real SIGKILL,
at random moments, runs die in test_random_kills.py. Slow: each task is trained, and two
halves of it once more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.apis import build_runner, load_config
from mmdefect.comparison.run import checkpoint_to_test
from mmdefect.pruning.sweep.run import PruneRun
from mmdefect.pruning.sweep.stages import run_all
from mmdefect.utils.checkpoint import use_safe_loading
from tests.helpers.toy_tasks import TASKS, differences, draw, write_config

pytestmark = pytest.mark.slow
# The last epoch of the first step; of the classifier, its first epoch, before it is
# validated; of the sweep, the only one of the whole network.
BOUNDARY = {'detection': 2, 'anomaly': 4, 'classifier': 1, 'pruning': 1}
# An iteration at seven tenths of all.
MIDDLE = {'detection': 8, 'anomaly': 11, 'classifier': 35, 'pruning': 23}


class Count(Hook):
    """Counts what a run does, and copies its work dir at some of these moments.

    Args:
        work_dir: Of the run.
        deaths: Name of the copy beside it -> what is counted, and at which number.
    """

    priority = 'LOWEST'  # after the checkpoint

    def __init__(self, work_dir: Path, deaths: Mapping[str, tuple[str, int]]) -> None:
        self.work_dir, self.deaths = work_dir, deaths
        self.seen = {'iterations': 0, 'epochs': 0}

    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        self.count('iterations')

    def after_train_epoch(self, runner: Runner) -> None:
        self.count('epochs')

    def count(self, what: str) -> None:
        self.seen[what] += 1
        for name, moment in self.deaths.items():
            if moment == (what, self.seen[what]):
                shutil.copytree(self.work_dir, self.work_dir.with_name(name))


@contextmanager
def watched(hook: Count) -> Iterator[None]:
    """Have every Runner of a block look at a hook."""
    train = Runner.train

    def watching(self: Runner) -> object:
        self.register_hook(hook)
        return train(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, 'train', watching)
        # Pages take as long as the rest, and other tests look at them.
        patch.setattr('mmdefect.streams.closing.write_report', lambda work, joint: work)
        yield


def train(config: Path, work_dir: Path) -> Path:
    """As tools/train.py does, with --resume."""
    cfg = load_config(config, work_dir=str(work_dir))
    cfg.resume = (work_dir / 'last_checkpoint').is_file() or 'stream' in cfg
    if cfg.resume and 'stream' not in cfg:
        cfg.load_from = None
    build_runner(cfg).train()
    return work_dir


def prune(config: Path, work_dir: Path) -> None:
    """As tools/prune.py does, in this process."""
    use_safe_loading()
    cfg = load_config(config, work_dir=str(work_dir))
    run = PruneRun(
        cfg,
        trainer=lambda path, folder: checkpoint_to_test(train(path, folder)),
        progress=lambda _: None,
    )
    run_all(run)


def run_task(task: str) -> Callable[[Path, Path], object]:
    return prune if task == 'pruning' else train


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('tasks')
    draw(root)
    return root


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('task', TASKS)
def test_feature_equal(task: str, workers: int, data: Path, tmp_path: Path) -> None:
    """Dead in the middle of a step, and at the end of one."""
    config, run = write_config(task, data, workers=workers), run_task(task)
    work_dir, expected = tmp_path / 'run', tmp_path / 'whole'
    whole = Count(
        work_dir,
        {
            'mid-step': ('iterations', MIDDLE[task]),
            'boundary': ('epochs', BOUNDARY[task]),
        },
    )
    with watched(whole):
        run(config, work_dir)
    assert 0.6 < MIDDLE[task] / whole.seen['iterations'] < 0.8
    work_dir.rename(expected)
    for name in whole.deaths:
        # Where it died: files in it may say so.
        (tmp_path / name).rename(work_dir)
        rest = Count(work_dir, {})
        with watched(rest):
            run(config, work_dir)
        assert 0 < rest.seen['epochs'] < whole.seen['epochs']
        assert differences(expected, work_dir) == []
        work_dir.rename(tmp_path / f'{name} and resumed')
