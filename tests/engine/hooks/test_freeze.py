"""Freezing in a run: what moves, and what a checkpoint holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdefect.engine.hooks.freeze import FreezeStrategyHook
from mmdefect.engine.model_wrapper import ReplicatedModel
from mmdefect.registry import HOOKS, MODEL_WRAPPERS
from mmdefect.utils.checkpoint import load_weights
from tests.helpers.frozen_classifier import SGD, Classifier, runner_maker

ADAM = {'type': 'Adam', 'lr': 0.01, 'weight_decay': 0.1}
FROZEN = ('backbone.conv1.', 'backbone.norm1.')


class Modes(Hook):
    """Which modules are in eval mode while they train, once an iteration."""

    def __init__(self) -> None:
        self.still: list[set[str]] = []

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        found = runner.model.named_modules()
        self.still.append({name for name, m in found if not m.training})


class Stop(Hook):
    priority = 'LOWEST'

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == 0:
            raise KeyboardInterrupt


@pytest.fixture
def make_runner(tmp_path):
    return runner_maker(tmp_path)


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def moved(runner: Runner, before: dict[str, Tensor]) -> set[str]:
    """Modules of which something is no longer as it was."""
    return {
        name.rpartition('.')[0]
        for name, value in runner.model.state_dict().items()
        if not torch.equal(value, before[name])
    }


HALF = {'backbone.conv2', 'backbone.norm2', 'head'}
ALL = {*HALF, 'backbone.conv1', 'backbone.norm1'}


class TestTraining:
    @pytest.mark.parametrize(
        ('settings', 'expected', 'trainable'),
        [
            ({}, ALL, 286),
            ({'mode': 'head'}, {'head'}, 10),
            ({'mode': 'fraction', 'fraction': 0.5}, HALF, 166),
            ({'mode': 'quadrant', 'quadrant': 'Q3'}, HALF, 166),
            ({'mode': 'quadrant', 'quadrant': 'Q2'}, {'backbone.norm2', 'head'}, 18),
        ],
    )
    @pytest.mark.parametrize('optimizer', [SGD, ADAM])
    def test_feature_only_the_rest_moves(
        self, make_runner, settings, expected, trainable, optimizer
    ):
        """Neither gradient, nor momentum, weight decay, or running statistics.

        Clipping minds the rest only, and the optimizer keeps nothing for the frozen.
        """
        hook = FreezeStrategyHook(**settings)
        clip = {'clip_grad': {'max_norm': 0.1}}
        runner = make_runner(hook, optimizer=optimizer, wrapper=clip)
        before = copied(runner.model)
        runner.train()
        assert moved(runner, before) == expected
        assert runner.message_hub.get_info('trainable_parameters') == trainable
        kept = {p for p in runner.model.parameters() if p.requires_grad}
        assert set(runner.optim_wrapper.optimizer.state) == kept

    def test_feature_statistics_as_in_the_published_study(self, make_runner):
        hook = FreezeStrategyHook(mode='head', freeze_bn_stats=False)
        modes = Modes()
        runner = make_runner(hook, modes)
        before = copied(runner.model)
        runner.train()
        assert moved(runner, before) == {'head', 'backbone.norm1', 'backbone.norm2'}
        weight = runner.model.backbone.norm1.weight
        assert torch.equal(weight, before['backbone.norm1.weight'])
        assert modes.still == [set()] * 4

    def test_feature_logged_and_still_in_every_iteration(self, make_runner):
        """The loop's own call of ``train()`` comes after ``before_train_epoch``."""
        lines, modes = [], Modes()
        kind = {'type': 'mmdefect.FreezeStrategyHook', 'mode': 'fraction'}
        runner = make_runner(HOOKS.build({**kind, 'fraction': 0.5}), modes)
        runner.logger.info = lambda line, *args, **kwargs: lines.append(line)
        runner.call_hook('before_run')
        assert lines == []  # no optimizer yet: as before a test, which freezes nothing
        assert all(p.requires_grad for p in runner.model.parameters())
        runner.train()
        (line,) = [line for line in lines if str(line).startswith('Freezing')]
        assert line == (
            'Freezing (fraction): 166 of 286 parameters train; 2 of 4 units are '
            'frozen, the last is backbone.norm1'
        )
        still = {f'backbone.{name}' for name in ('conv1', 'norm1', 'drop1')}
        assert modes.still == [still] * 4


class TestResume:
    def test_feature_as_if_not_killed(self, make_runner):
        def hooks():
            return FreezeStrategyHook(mode='fraction', fraction=0.5), EpochSeed()

        with pytest.raises(KeyboardInterrupt):
            make_runner(*hooks(), Stop(), folder='a', optimizer=ADAM).train()
        freeze, seed = hooks()
        resumed = make_runner(freeze, seed, folder='a', optimizer=ADAM, resume=True)
        resumed.train()
        assert seed.began == 1
        whole = make_runner(*hooks(), folder='b', optimizer=ADAM)
        before = copied(whole.model)
        whole.train()
        assert resumed.epoch == whole.epoch == 2
        for name, value in whole.model.state_dict().items():
            assert torch.equal(resumed.model.state_dict()[name], value), name
            if name.startswith(FROZEN):
                assert torch.equal(value, before[name]), name

    def test_feature_momentum_of_a_run_that_froze_nothing(self, make_runner):
        """The optimizer's state is loaded after freezing, and does not matter."""
        with pytest.raises(KeyboardInterrupt):
            make_runner(FreezeStrategyHook(), Stop()).train()
        runner = make_runner(FreezeStrategyHook(mode='head'), resume=True)
        runner.train()
        (file,) = Path(runner.work_dir).glob('epoch_1.pth')
        saved = load_weights(file)
        assert moved(runner, saved['state_dict']) == {'head'}
        buffers = [s['momentum_buffer'] for s in saved['optimizer']['state'].values()]
        assert len(buffers) == 10
        assert runner.message_hub.get_info('trainable_parameters') == 10


class EpochSeed(Hook):
    """Dropout draws the same numbers in a resumed run."""

    began = -1

    def before_train(self, runner: Runner) -> None:
        self.began = runner.epoch

    def before_train_epoch(self, runner: Runner) -> None:
        torch.manual_seed(runner.epoch)


class TestRunner:
    def test_feature_order_of_mmengine_s_runner(self, make_runner):
        """What the hook relies on: an optimizer, and neither weights nor its state."""
        seen = []

        class Watch(Hook):
            def before_run(self, runner: Runner) -> None:
                seen.append(('before_run', len(runner.optim_wrapper.param_groups)))

            def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
                seen.append(('loaded', len(checkpoint['state_dict'])))

        class Initialised(Classifier):
            def init_weights(self) -> None:
                seen.append(('init_weights', self.backbone.conv1.weight.requires_grad))

        hook = FreezeStrategyHook(mode='head')
        with pytest.raises(KeyboardInterrupt):
            make_runner(Stop()).train()
        make_runner(hook, Watch(), model=Initialised(), resume=True).train()
        assert seen == [('before_run', 1), ('init_weights', False), ('loaded', 16)]

    def test_exception_a_wrapper_that_is_not_ddp(self, make_runner):
        @MODEL_WRAPPERS.register_module(force=True)
        class OtherWrapper(nn.Module):
            def __init__(self, module: Classifier) -> None:
                super().__init__()
                self.module = module

        runner = make_runner(FreezeStrategyHook(mode='head'))
        runner.model = OtherWrapper(runner.model)
        message = r'=OtherWrapper: expected DistributedDataParallel'
        with pytest.raises(ValueError, match=message):
            runner.train()

    def test_feature_one_process_is_not_wrapped_anew(self, make_runner):
        runner = make_runner(FreezeStrategyHook(mode='head'))
        wrapper = runner.model = ReplicatedModel(runner.model)
        runner.train()
        assert runner.model is wrapper
        assert not wrapper.module.backbone.conv1.weight.requires_grad

    def test_exception_settings(self):
        """All of them in tests/engine/test_freezing.py."""
        with pytest.raises(ValueError, match=r'^fraction=0.5 with mode'):
            FreezeStrategyHook(mode='head', fraction=0.5)
        with pytest.raises(TypeError, match='trainable'):
            FreezeStrategyHook(trainable=0.5)
