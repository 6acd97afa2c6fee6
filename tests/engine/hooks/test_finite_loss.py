"""A loss that is no number ends the training, with its images named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmdefect.engine.guards import guarded
from mmdefect.engine.hooks.finite_loss import FiniteLossHook, image_names
from mmdefect.utils.checkpoint import load_weights

CHECKPOINT = {'type': 'mmdefect.SafeCheckpointHook', 'interval': 1}
NAN, INF = float('nan'), float('inf')
MakeRunner = Callable[..., Runner]


class Diverges(Hook):
    """The second epoch starts from weights without a number."""

    def before_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == 1:
            runner.model.layer.weight.data.fill_(NAN)


def batch(*names: str) -> dict[str, Any]:
    return {'data_samples': [SimpleNamespace(img_path=f'/set/{n}') for n in names]}


def test_smoke_training_goes_on(make_runner: MakeRunner) -> None:
    """With one such hook, also where a config has it itself."""
    hooks = [{'type': 'mmdefect.FiniteLossHook'}]
    for more in ({}, {'custom_hooks': hooks}):
        runner = guarded(make_runner(epochs=2, checkpoint=CHECKPOINT, **more))
        runner.train()
        assert runner.iter == 4
        assert sum(isinstance(hook, FiniteLossHook) for hook in runner.hooks) == 1


def test_exception_stops_before_the_checkpoint(
    make_runner: MakeRunner, tmp_path: Path
) -> None:
    """The good checkpoint stays, is the last one, and is where a resume goes on."""
    runner = guarded(make_runner(epochs=3, checkpoint=CHECKPOINT))
    runner.register_hook(Diverges())
    message = (
        r'stopped in .*work, epoch 2, iteration 3: loss is not finite on a batch of '
        r'unnamed images \(see non_finite_loss\.json\); lower the learning rate '
        r'\(now 0\.01\), limit the gradients \(.*, now None\), or look at these images '
        r'and what is annotated on them\. The last checkpoint is from before$'
    )
    with pytest.raises(ValueError, match=message):
        runner.train()
    work_dir = tmp_path / 'work'
    assert [path.name for path in work_dir.glob('*.pth*')] == ['epoch_1.pth']
    resumed = guarded(make_runner(epochs=3, checkpoint=CHECKPOINT, resume=True))
    resumed.train()
    assert resumed.iter == 6
    assert load_weights(work_dir / 'epoch_3.pth')['meta']['epoch'] == 3


@pytest.mark.parametrize('value', [NAN, -INF])
def test_exception_names_terms_and_images(
    value: float, make_runner: MakeRunner, tmp_path: Path
) -> None:
    runner = make_runner(epochs=1, checkpoint=CHECKPOINT)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    outputs = {
        'loss': torch.tensor(value),
        'loss_cls': torch.tensor(0.5),
        'loss_bbox': torch.tensor(value),
        'acc': torch.tensor(NAN),
    }
    message = r'loss_bbox is not finite on a batch of 1\.png, 2\.png, 3\.png, 4\.png an'
    with pytest.raises(ValueError, match=message + 'd 1 more'):
        FiniteLossHook().after_train_iter(
            runner, 0, batch('1.png', '2.png', '3.png', '4.png', '5.png'), outputs
        )
    path = tmp_path / 'work/non_finite_loss.json'
    noted = json.loads(path.read_text(encoding='utf-8'))
    assert noted == {
        'epoch': 1,
        'iteration': 1,
        'learning_rates': [0.01],
        'batches': [
            {
                'rank': 0,
                'losses': dict.fromkeys(('loss', 'loss_bbox'), f'{value}')
                | {'loss_cls': '0.5'},
                'not_finite': ['loss_bbox'],
                'images': [f'/set/{k}.png' for k in range(1, 6)],
            }
        ],
    }


@pytest.mark.parametrize(
    'outputs',
    [
        None,
        {},
        {'loss': torch.tensor(0.0), 'loss_old': torch.tensor(0.0)},
        {'loss': torch.tensor(1.0), 'accuracy': torch.tensor(NAN)},
        {'seen': torch.tensor(NAN)},
    ],
)
def test_feature_what_is_no_loss(outputs: dict[str, Tensor] | None) -> None:
    """A model without a loss, a loss of zero, and other numbers go on."""
    FiniteLossHook().after_train_iter(None, 0, None, outputs)  # type: ignore[arg-type]


def test_feature_image_names() -> None:
    assert image_names(batch('a.png')) == ['/set/a.png']
    branches = {'data_samples': {'labelled': batch('a.png')['data_samples']}}
    assert image_names(branches) == ['/set/a.png']
    for other in (None, [1], {'inputs': []}, {'data_samples': [object()]}):
        assert image_names(other) == []
