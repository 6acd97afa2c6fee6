"""A run that dies and is resumed ends as one that did not, bit for bit: all four tasks.

Slow: each task is trained three times. Deaths by a real SIGKILL, at random moments, are
in test_random_kills.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


class Died(BaseException):
    """What a process feels when it dies: nothing catches it."""


class Count(Hook):
    """Counts what a run does; dies at one of its iterations, or after an epoch."""

    priority = 'LOWEST'  # after the checkpoint

    def __init__(self, iteration: int = 0, epoch: int = 0) -> None:
        self.at = {'iterations': iteration, 'epochs': epoch}
        self.seen = dict.fromkeys(self.at, 0)

    def after_train_iter(self, runner: Runner, *_: object, **__: object) -> None:
        self.count('iterations')

    def after_train_epoch(self, runner: Runner) -> None:
        self.count('epochs')

    def count(self, what: str) -> None:
        self.seen[what] += 1
        if self.seen[what] == self.at[what]:
            raise Died


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
    whole = Count()
    with watched(whole):
        run(config, tmp_path / 'whole')
    deaths = {
        'mid-step': Count(iteration=int(0.7 * whole.seen['iterations'])),
        'boundary': Count(epoch=BOUNDARY[task]),
    }
    for name, death in deaths.items():
        with watched(death), suppress(Died):
            run(config, tmp_path / name)
            pytest.fail(f'{name}: it did not die')
        rest = Count()
        with watched(rest):
            run(config, tmp_path / name)
        assert rest.seen['epochs'] < whole.seen['epochs']
        assert differences(tmp_path / 'whole', tmp_path / name) == []
