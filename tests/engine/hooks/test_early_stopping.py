from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.engine.hooks.early_stopping import ResumableEarlyStoppingHook
from mmdefect.registry import HOOKS
from tests.engine.hooks.conftest import Line, Points

SCORES = [0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]


class Scripted(BaseMetric):
    """One number an epoch."""

    default_prefix = 'scripted'

    def process(self, data_batch, data_samples) -> None:
        self.results.append(None)

    def compute_metrics(self, results) -> dict[str, float]:
        losses = getattr(self.runner, 'losses', None)
        epoch = self.runner.epoch - 1
        return (
            {'score': SCORES[epoch]}
            if losses is None
            else {
                'score': 0.5,
                'nll': losses[epoch],
            }
        )


class Tell(Hook):
    """A metric knows no runner."""

    def before_val_epoch(self, runner: Runner) -> None:
        runner.val_evaluator.metrics[0].runner = runner


class Kill(Hook):
    """Stop as a killed process does, when an epoch was validated."""

    priority = 'LOWEST'

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def after_val_epoch(self, runner: Runner, metrics=None) -> None:
        if runner.epoch == self.epoch:
            raise KeyboardInterrupt


class Judged(Line):
    def forward(self, x, mode='tensor'):
        return super().forward(x) if mode == 'loss' else [{}]


@pytest.fixture
def make_runner(tmp_path: Path) -> Callable[..., Runner]:
    made = []

    def make(*hooks: Hook, resume: bool = False, load_from=None) -> Runner:
        loader = {
            'batch_size': 4,
            'num_workers': 0,
            'sampler': {'type': 'DefaultSampler', 'shuffle': False},
            'dataset': Points(),
        }
        stop = ResumableEarlyStoppingHook(
            monitor='scripted/score', rule='greater', patience=3, min_delta=0.0
        )
        made.append(stop)
        return Runner(
            model=Judged(),
            work_dir=str(tmp_path / f'work{bool(load_from)}'),
            train_dataloader=loader,
            val_dataloader=loader,
            val_cfg={},
            val_evaluator=Evaluator(Scripted()),
            train_cfg={'by_epoch': True, 'max_epochs': len(SCORES)},
            optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}},
            default_hooks={
                'checkpoint': {
                    'type': 'mmdefect.SafeCheckpointHook',
                    'interval': 1,
                    'save_best': 'scripted/score',
                    'rule': 'greater',
                }
            },
            custom_hooks=[Tell(), stop, *hooks],
            default_scope=None,
            resume=resume,
            load_from=load_from,
            log_level='WARNING',
            experiment_name=f'{tmp_path.name}_{len(made)}',
            visualizer={'type': 'Visualizer', 'name': f'{tmp_path.name}_{len(made)}'},
        )

    return make


def test_smoke_registered() -> None:
    hook = HOOKS.build(
        {'type': 'mmdefect.ResumableEarlyStoppingHook', 'monitor': 'accuracy'}
    )
    assert hook.rule == 'greater'


def test_feature_stops_as_mmengine_does(make_runner) -> None:
    runner = make_runner()
    runner.train()
    assert runner.epoch == 4


def test_feature_patience_survives_a_kill(make_runner) -> None:
    with pytest.raises(KeyboardInterrupt):
        make_runner(Kill(3)).train()
    runner = make_runner(resume=True)
    runner.train()
    # The checkpoint of epoch 3 is older than its validation: one wait is lost. From the
    # start it would have been epoch 7.
    assert runner.epoch == 5


def test_feature_a_new_best_survives_a_kill(make_runner) -> None:
    with pytest.raises(KeyboardInterrupt):
        make_runner(Kill(1)).train()
    runner = make_runner(resume=True)
    runner.train()
    assert runner.epoch == 4


def test_feature_other_weights_bring_no_patience(make_runner) -> None:
    first = make_runner()
    first.train()
    runner = make_runner(load_from=str(Path(first.work_dir) / 'epoch_4.pth'))
    runner.train()
    assert runner.epoch == 4


@pytest.mark.parametrize(
    ('losses', 'last'),
    [
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01], 8),  # still learning
        ([0.6, 0.5, 0.4, 0.4, 0.4, 0.4, 0.1, 0.1], 6),  # MMEngine would go on to 8
        ([0.1, 0.2, 0.2, 0.2, 0.0, 0.0, 0.0, 0.0], 4),
    ],
)
def test_feature_ties_count_when_the_loss_falls(
    losses: list[float], last: int, make_runner
) -> None:
    runner = make_runner()
    runner.losses = losses
    runner.train()
    assert runner.epoch == last


def test_feature_the_loss_of_the_best_survives_a_kill(make_runner) -> None:
    losses = [0.6, 0.1, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2]
    runner = make_runner(Kill(3))
    runner.losses = losses
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    runner = make_runner(resume=True)
    runner.losses = losses
    runner.train()
    # The wait of epoch 3 is lost; with its loss forgotten, epoch 4 would begin anew.
    assert runner.epoch == 6


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
