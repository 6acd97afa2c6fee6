"""A validation that a kill has cut short is made up for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.guards import guarded
from tests.engine.hooks.conftest import Line, loader

MakeRunner = Callable[..., Runner]
SCORES = [0.5, 0.9, 0.4, 0.3, 0.2, 0.1]


class Killed(BaseException):
    """What a process feels when it dies."""


class Scores(BaseMetric):
    """Scores of the epochs, one after the other; dies before one of them."""

    default_prefix = 'toy'
    runner: Runner
    dies_at = 0

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        if self.runner.epoch == self.dies_at:
            raise Killed
        self.results.append(1)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        return {'score': SCORES[self.runner.epoch - 1]}


class Judged(Line):
    def forward(self, x: Any, mode: str = 'tensor') -> Any:
        return super().forward(x) if mode == 'loss' else [{}]


def train(
    make_runner: MakeRunner, *, dies_at: int = 0, resume: bool = False
) -> list[int]:
    """Train with early stopping; the epochs that were validated."""
    stop = {'type': 'mmdefect.ResumableEarlyStoppingHook', 'monitor': 'toy/score'}
    best = {'save_best': 'toy/score', 'rule': 'greater', 'max_keep_ckpts': 1}
    metric = Scores()
    runner = make_runner(
        epochs=6,
        checkpoint={'type': 'mmdefect.SafeCheckpointHook', 'interval': 1, **best},
        model=Judged(),
        resume=resume,
        val_cfg={},
        val_dataloader=loader(4),
        val_evaluator=Evaluator([metric]),
        custom_hooks=[{**stop, 'rule': 'greater', 'patience': 3}],
    )
    metric.runner, metric.dies_at = runner, dies_at
    seen: list[int] = []
    guarded(runner)

    class Watch(Hook):
        def after_val_epoch(self, runner: Runner, metrics: Any = None) -> None:
            seen.append(runner.epoch)

    runner.register_hook(Watch())
    with suppress(Killed):
        runner.train()
    return seen


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob('*.pth')}


@pytest.mark.parametrize('dies_at', [1, 2, 3, 5])
def test_feature_killed_while_it_validates(
    dies_at: int, make_runner: MakeRunner, tmp_path: Path
) -> None:
    """The best epoch is the best of all, and it stops when it should."""
    before = train(make_runner, dies_at=dies_at)
    assert before == list(range(1, dies_at))
    after = train(make_runner, resume=True)
    assert after == list(range(dies_at, 6))  # 2 is the best, three more are waited for
    work_dir = tmp_path / 'work'
    assert names(work_dir) == {'epoch_5.pth', 'best_toy_score_epoch_2.pth'}


def test_feature_what_was_validated_is_not_validated_again(
    make_runner: MakeRunner,
) -> None:
    """The checkpoint of a new best is written after its validation."""
    assert train(make_runner, dies_at=3) == [1, 2]
    assert train(make_runner, dies_at=4, resume=True) == [3]
    assert train(make_runner, resume=True) == [4, 5]
    assert train(make_runner, resume=True) == [5]  # it had stopped, and stops again
