"""Training and test read 16-bit images alike, or stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmdefect.engine.guards import guarded


class Images(list):
    """A dataset that knows the bits of its images."""

    def __init__(self, bits: int | None) -> None:
        super().__init__([{'inputs': torch.ones(1)}])
        self.metainfo = {} if bits is None else {'bits': bits}


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        out = self.linear(torch.stack(list(inputs)))
        return {'loss': out.sum()} if mode == 'loss' else [out]


class Nothing(BaseMetric):
    def process(self, data_batch, data_samples) -> None:
        self.results.append(1)

    def compute_metrics(self, results: list) -> dict:
        return {'seen': len(results)}


def runner_of(work_dir: Path, **bits: int | None) -> Runner:
    """A real Runner with the loaders named, each of images of so many bits."""
    settings: dict[str, Any] = {}
    for name, value in bits.items():
        trains = name == 'train'
        sampler = {'type': 'DefaultSampler', 'shuffle': False}
        loader = {'batch_size': 1, 'dataset': Images(value), 'sampler': sampler}
        settings[f'{name}_dataloader'] = loader
        settings[f'{name}_cfg'] = {'by_epoch': True, 'max_epochs': 1} if trains else {}
        if trains:
            settings['optim_wrapper'] = {'optimizer': {'type': 'SGD', 'lr': 0.1}}
        else:
            settings[f'{name}_evaluator'] = [Nothing()]
    name = '_'.join([work_dir.name, *bits, *map(str, bits.values())])
    return guarded(Runner(Model(), str(work_dir), **settings, experiment_name=name))


@pytest.mark.parametrize(('train', 'val'), [(12, 12), (None, 12), (16, None)])
def test_smoke(tmp_path: Path, train: int | None, val: int | None) -> None:
    runner_of(tmp_path, train=train, val=val).train()
    checkpoint = tmp_path / 'epoch_1.pth'
    assert torch.load(checkpoint, weights_only=False)['meta']['dataset_meta'] == (
        {} if train is None else {'bits': train}
    )
    runner = runner_of(tmp_path, test=train)
    runner._load_from = str(checkpoint)
    assert runner.test() == {'seen': 1}


def test_exception_validation(tmp_path: Path) -> None:
    message = 'as 12 bits in the training set and as 16 bits in the validation set;'
    with pytest.raises(ValueError, match=message):
        runner_of(tmp_path, train=12, val=16).train()


@pytest.mark.parametrize('task', ['test', 'train'])
def test_exception_checkpoint(tmp_path: Path, task: str) -> None:
    runner_of(tmp_path, train=16).train()
    runner = runner_of(tmp_path, **{task: 12})
    runner._load_from = str(tmp_path / 'epoch_1.pth')
    message = r'16 bits in the checkpoint and as 12 .*; expected the same: give bits='
    with pytest.raises(ValueError, match=message):
        getattr(runner, task)()
