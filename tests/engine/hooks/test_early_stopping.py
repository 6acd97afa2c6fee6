from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.hooks.early_stopping import ResumableEarlyStoppingHook
from mmdefect.registry import HOOKS
from tests.engine.hooks.conftest import Line, loader

SCORES = [0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]
CHECKPOINT = {
    'type': 'mmdefect.SafeCheckpointHook',
    'interval': 1,
    'save_best': 'scripted/score',
    'rule': 'greater',
}


class Scripted(BaseMetric):
    """One number an epoch, or a tie with a loss."""

    default_prefix = 'scripted'

    def process(self, data_batch, data_samples) -> None:
        self.results.append(None)

    def compute_metrics(self, results) -> dict[str, float]:
        epoch, losses = self.runner.epoch - 1, getattr(self.runner, 'losses', None)
        if losses is None:
            return {'score': SCORES[epoch]}
        return {'score': 0.5, 'nll': losses[epoch]}


class Tell(Hook):
    """A metric knows no runner. Stops as a killed process does, after validation."""

    priority = 'LOWEST'

    def __init__(self, kill: int = 0) -> None:
        self.kill = kill

    def before_val_epoch(self, runner: Runner) -> None:
        runner.val_evaluator.metrics[0].runner = runner

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        if runner.epoch == self.kill:
            raise KeyboardInterrupt


class Judged(Line):
    def forward(self, x, mode='tensor'):
        return super().forward(x) if mode == 'loss' else [{}]


@pytest.fixture
def last_epoch(make_runner: Callable[..., Runner]) -> Callable[..., int]:
    """Train, and return the epoch at which it stopped."""

    def run(kill: int = 0, losses: list[float] | None = None, **more: Any) -> int:
        stop = ResumableEarlyStoppingHook(
            monitor='scripted/score', rule='greater', patience=3, min_delta=0.0
        )
        runner = make_runner(
            epochs=len(SCORES),
            checkpoint=CHECKPOINT,
            model=Judged(),
            val_dataloader=loader(4),
            val_cfg={},
            val_evaluator=Evaluator(Scripted()),
            custom_hooks=[stop, Tell(kill)],
            **more,
        )
        runner.losses = losses
        runner.train()
        return runner.epoch

    return run


def test_smoke_registered() -> None:
    hook = HOOKS.build(
        {'type': 'mmdefect.ResumableEarlyStoppingHook', 'monitor': 'accuracy'}
    )
    assert hook.rule == 'greater'


def test_feature_stops_as_mmengine_does(last_epoch, tmp_path: Path) -> None:
    assert last_epoch() == 4
    # Weights of another run bring no patience.
    assert last_epoch(load_from=str(tmp_path / 'work/epoch_4.pth')) == 4


@pytest.mark.parametrize(
    ('kill', 'losses', 'last'),
    [
        # The checkpoint of epoch 3 is older than its validation: one wait is lost. From
        # the start it would have been epoch 7.
        (3, None, 5),
        (1, None, 4),  # a new best
        # With the loss of the best forgotten, epoch 4 would begin anew.
        (3, [0.6, 0.1, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2], 6),
    ],
)
def test_feature_patience_survives_a_kill(kill, losses, last, last_epoch) -> None:
    with pytest.raises(KeyboardInterrupt):
        last_epoch(kill, losses)
    assert last_epoch(losses=losses, resume=True) == last


@pytest.mark.parametrize(
    ('losses', 'last'),
    [
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01], 8),  # still learning
        ([0.6, 0.5, 0.4, 0.4, 0.4, 0.4, 0.1, 0.1], 6),  # MMEngine would go on to 8
        ([0.1, 0.2, 0.2, 0.2, 0.0, 0.0, 0.0, 0.0], 4),
    ],
)
def test_feature_ties_count_when_the_loss_falls(losses, last, last_epoch) -> None:
    assert last_epoch(losses=losses) == last


def test_feature_a_loss_that_falls_less_than_min_delta_waits() -> None:
    hook = ResumableEarlyStoppingHook(monitor='errors', rule='less', min_delta=0.1)
    waited = []
    for loss in (0.5, 0.45, 0.3, 0.25, 0.1):
        hook._loss = loss
        hook._check_stop_condition(2.0)
        if hook.wait_count == 0:
            hook.best_loss = loss
        waited.append(hook.wait_count)
    assert waited == [0, 1, 0, 1, 0]
