"""A loss that is no number ends the training, with its images named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmdefect.engine.guards import guarded
from mmdefect.engine.hooks.finite_loss import FiniteLossHook, image_names, save_batch
from mmdefect.utils.checkpoint import load_weights
from tests.engine.hooks.conftest import Line

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
    assert [path.name for path in work_dir.glob('epoch*.pth')] == ['epoch_1.pth']
    seen = load_weights(work_dir / 'non_finite_batch_rank_0.pth')
    assert seen['images'] == []
    assert [x.shape for x in seen['batch']['x']] == [(4,), (4,)]
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


class Spoils(nn.Module):
    """Divides by the first number of the first image, which is 0."""

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.sum() if x.sum() else x[0, 0])


@pytest.fixture
def anomaly_detection() -> Iterator[None]:
    torch.autograd.set_detect_anomaly(True)
    yield
    torch.autograd.set_detect_anomaly(False)


@pytest.mark.usefixtures('anomaly_detection')
def test_exception_the_module_that_makes_it(
    make_runner: MakeRunner, tmp_path: Path
) -> None:
    """The first one; those behind it only hand it on."""
    model = Line()
    model.layer = nn.Sequential(nn.Linear(4, 4), Spoils(), nn.Linear(4, 1))
    for parameter in model.layer[0].parameters():
        parameter.data.zero_()
    runner = guarded(make_runner(epochs=1, checkpoint=CHECKPOINT, model=model))
    message = (
        r'epoch 1, iteration 1: layer\.1 \(Spoils\) makes NaN or infinity of finite num'
        r'bers on a batch of unnamed images, saved in non_finite_batch_rank_0\.pth; low'
    )
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert (tmp_path / 'work/non_finite_batch_rank_0.pth').is_file()


@pytest.mark.usefixtures('anomaly_detection')
def test_exception_the_part_of_the_backward_pass(make_runner: MakeRunner) -> None:
    """A loss that is finite and has no gradient: torch names the function."""

    class Root(Line):
        def forward(self, x: list[Tensor], mode: str = 'tensor') -> dict[str, Tensor]:
            return {'loss': (0 * self.layer(torch.stack(x))).sum().sqrt()}

    runner = guarded(make_runner(epochs=1, checkpoint=CHECKPOINT, model=Root()))
    with pytest.raises(RuntimeError, match=r"Function 'Mul.*' returned nan values"):
        runner.train()


def test_feature_the_batch_is_data(tmp_path: Path) -> None:
    """Whatever a batch holds can be read again without running it."""
    sample = BaseDataElement(metainfo={'img_path': '/set/1.png', 'shape': (2, 3)})
    sample.boxes = SimpleNamespace(tensor=torch.ones(1, 4))
    given = {'inputs': [torch.zeros(3, 2, 2)], 'data_samples': [sample], 'x': object}
    runner: Any = SimpleNamespace(work_dir=str(tmp_path))
    path = save_batch(runner, given, ['/set/1.png'])
    batch = load_weights(path)['batch']
    (read,) = batch['data_samples']
    assert (read['img_path'], read['shape']) == ('/set/1.png', [2, 3])
    assert torch.equal(read['boxes'], torch.ones(1, 4))
    assert batch['x'] == "<class 'object'>"
