"""Calibration after training: which weights, which images, what is written."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import Dataset

from mmdefect.engine.hooks import calibration
from mmdefect.engine.hooks.calibration import CalibrationHook, validation_logits
from mmdefect.functional.calibration import cost_threshold, fit_temperature
from mmdefect.models.classification.head import DefectClsHead
from mmdefect.registry import HOOKS
from mmdefect.utils.checkpoint import load_weights
from tests.helpers.configs import scope


class Flat(nn.Module):
    """The pixels themselves."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (images.flatten(1),)


class Pixels(Dataset):
    """Images of 2 x 2 pixels; defective ones are brighter, most of the time."""

    metainfo = {'classes': ('def_front', 'ok_front')}  # noqa: RUF012

    def __init__(self, seed: int, *, noise: float = 40.0, labels: str = 'both') -> None:
        generator = torch.Generator().manual_seed(seed)
        both = torch.arange(41) % 2
        self.labels = both if labels == 'both' else torch.zeros_like(both)
        level = 140 - 30 * self.labels.float()
        images = level[:, None, None, None].expand(-1, 3, 2, 2)
        shift = noise * torch.randn(41, 1, 1, 1, generator=generator)
        self.images = (images + shift).clamp(0, 255).byte()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict:
        sample = DataSample(metainfo={'img_path': f'{index}.png'})
        sample.set_gt_label(int(self.labels[index]))
        return {'inputs': self.images[index], 'data_samples': sample}


BEST = {'save_best': 'defect/accuracy', 'rule': 'greater'}


class Spoil(Hook):
    """Turns the weights round after the second epoch, before it is validated."""

    def after_train_epoch(self, runner: Runner) -> None:
        if runner.epoch == 1:
            runner.model.head.fc.weight.data.neg_()


def network(head: nn.Module | None = None) -> ImageClassifier:
    torch.manual_seed(0)
    return ImageClassifier(
        backbone=Flat(),
        head=head or DefectClsHead(in_channels=12),
        data_preprocessor={'mean': [125] * 3, 'std': [40] * 3},
    )


@pytest.fixture(autouse=True)
def _in_their_scope():
    """Whatever scope an earlier test of the process has left behind."""
    with scope('mmpretrain'):
        yield


@pytest.fixture
def make_calibrated(make_runner):
    """Two epochs in milliseconds, with the hooks under test."""

    def make(*hooks, val=True, model=None, checkpoint=None, resume=None) -> Runner:
        def loader(seed: int) -> dict:
            sampler = {'type': 'DefaultSampler', 'shuffle': False, 'round_up': False}
            settings = {'batch_size': 8, 'num_workers': 0, 'sampler': sampler}
            return {**settings, 'dataset': Pixels(seed)}

        options = {
            'val_dataloader': loader(1),
            'val_cfg': {},
            'val_evaluator': {'type': 'mmdefect.DefectClassMetric'},
        }
        if resume is not None:
            options |= {'work_dir': str(resume.parent), 'load_from': str(resume)}
        return make_runner(
            epochs=2,
            model=model or network(),
            resume=resume is not None,
            train_dataloader=loader(0),
            optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.05}},
            checkpoint={
                'type': 'mmdefect.SafeCheckpointHook',
                'interval': 1,
                **(checkpoint or {}),
            },
            custom_hooks=list(hooks),
            default_scope='mmpretrain',
            **(options if val else {}),
        )

    return make


@pytest.fixture
def logged(caplog):
    """Have a logger of MMEngine, which does not propagate, heard; return it."""
    heard = []

    def hear(logger):
        heard.append(logger)
        logger.addHandler(caplog.handler)
        caplog.set_level(logging.INFO)
        return logger

    yield hear
    for logger in heard:
        logger.removeHandler(caplog.handler)


def calibrated(runner: Runner) -> dict:
    return load_weights(Path(runner.work_dir) / 'calibrated.pth')


def weights(runner: Runner, name: str) -> dict:
    return load_weights(Path(runner.work_dir) / name)['state_dict']


def predicted(model: nn.Module, dataset: Dataset) -> list[DataSample]:
    model.eval()
    batch = [dataset[k] for k in range(len(dataset))]
    data = {key: [item[key] for item in batch] for key in ('inputs', 'data_samples')}
    return model.test_step(data)


def test_smoke(make_calibrated) -> None:
    hook = HOOKS.build({'type': 'mmdefect.CalibrationHook', 'costs': (5, 1)})
    runner = make_calibrated(hook)
    runner.train()
    saved = calibrated(runner)
    state = saved['state_dict']
    last = weights(runner, 'epoch_2.pth')
    assert state.keys() == last.keys()
    for name, value in state.items():
        assert torch.equal(value, last[name]) == (name[5:] not in calibration.BUFFERS)
    logits, labels = validation_logits(runner, runner.model)
    assert logits.shape == (41, 2)
    assert labels.tolist() == Pixels(1).labels.tolist()
    assert state['head.temperature'].item() == pytest.approx(
        fit_temperature(logits, labels)
    )
    note = saved['meta']['calibration']
    assert note['checkpoint'] == 'epoch_2.pth'
    assert (note['images'], note['costs']) == (41, [5.0, 1.0])
    assert note['nll_after'] < note['nll_before']
    assert saved['meta']['dataset_meta']['classes'] == Pixels.metainfo['classes']
    # The threshold is at the temperature.
    val = Pixels(1)
    samples = predicted(runner.model, val)
    scores = torch.stack([sample.pred_score for sample in samples])[:, 0]
    threshold = runner.model.head.threshold.item()
    assert threshold == cost_threshold(scores, val.labels == 0, 5, 1)
    called = torch.tensor([int(sample.pred_label) for sample in samples]) == 0
    assert torch.equal(called, scores >= threshold)
    assert 0 < called.sum() < 41


def test_feature_the_best_checkpoint_is_taken(make_calibrated) -> None:
    """Also by a finished run that is resumed from another folder."""
    runner = make_calibrated(CalibrationHook(), Spoil(), checkpoint=BEST)
    runner.train()
    saved = calibrated(runner)
    name = 'best_defect_accuracy_epoch_1.pth'
    assert saved['meta']['calibration']['checkpoint'] == name
    weight = saved['state_dict']['head.fc.weight']
    assert torch.equal(weight, weights(runner, name)['head.fc.weight'])
    assert not torch.equal(weight, weights(runner, 'epoch_2.pth')['head.fc.weight'])
    assert torch.equal(runner.model.head.fc.weight, weight)
    first = saved['state_dict']
    moved = Path(runner.work_dir).parent / 'moved'
    Path(runner.work_dir).rename(moved)
    (moved / 'calibrated.pth').unlink()
    resume = moved / 'epoch_2.pth'
    make_calibrated(CalibrationHook(), checkpoint=BEST, resume=resume).train()
    second = load_weights(moved / 'calibrated.pth')['state_dict']
    assert all(torch.equal(second[name], value) for name, value in first.items())


@pytest.mark.parametrize(('rule', 'best'), [('greater', 1), ('less', 2)])
def test_feature_a_last_epoch_that_is_likelier_is_named(
    rule, best, make_calibrated, logged, caplog
) -> None:
    """The best epoch by another metric is kept, and both losses are said."""
    options = {'save_best': 'defect/nll', 'rule': rule}  # greater: the worse epoch wins
    runner = make_calibrated(CalibrationHook(temperature=False), checkpoint=options)
    logged(runner.logger)
    runner.train()
    note = calibrated(runner)['meta']['calibration']
    assert note['checkpoint'] == f'best_defect_nll_epoch_{best}.pth'
    text = (
        f'has a negative log-likelihood of {note["nll_after"]:.4g} on the '
        'validation images, epoch_2.pth of the last epoch one of '
    )
    assert (text in caplog.text) == (best == 1)
    kept = weights(runner, note['checkpoint'])['head.fc.weight']
    assert torch.equal(runner.model.head.fc.weight, kept)


def test_feature_a_best_checkpoint_that_is_gone_is_missed(
    make_calibrated, logged, caplog
) -> None:
    class Remove(Hook):
        priority = 'HIGHEST'  # before the calibration

        def after_train(self, runner: Runner) -> None:
            for path in Path(runner.work_dir).glob('best_*'):
                path.unlink()

    runner = make_calibrated(CalibrationHook(), Remove(), checkpoint=BEST)
    logged(runner.logger)
    runner.train()
    assert calibrated(runner)['meta']['calibration']['checkpoint'] == 'epoch_2.pth'
    assert 'is gone, the checkpoint to be calibrated: epoch_2.pth' in caplog.text


def test_feature_averaged_weights_are_calibrated_and_kept(make_calibrated) -> None:
    """A test in the same process swaps in the average: it has to be this model."""
    ema = {'type': 'EMAHook', 'momentum': 0.3, 'priority': 'ABOVE_NORMAL'}
    runner = make_calibrated(CalibrationHook(), ema)
    runner.train()
    state = calibrated(runner)['state_dict']
    checkpoint = load_weights(Path(runner.work_dir) / 'epoch_2.pth')
    averaged = checkpoint['state_dict']['head.fc.weight']
    raw = checkpoint['ema_state_dict']['module.head.fc.weight']
    assert torch.equal(state['head.fc.weight'], averaged)
    assert not torch.equal(averaged, raw)
    runner.call_hook('before_test_epoch')
    held = runner.model.state_dict()
    for name, value in state.items():
        assert torch.equal(held[name], value), name


def test_feature_weights_in_memory_without_a_checkpoint(
    make_calibrated, logged, caplog
) -> None:
    runner = make_calibrated(CalibrationHook())
    logged(runner.logger)
    CalibrationHook().after_train(runner)
    assert 'the weights in memory are calibrated' in caplog.text
    assert calibrated(runner)['meta']['dataset_meta'] == Pixels.metainfo
    (path,) = Path(runner.work_dir).glob('*.pth*')
    assert path.name == 'calibrated.pth'


def test_feature_where_images_cannot_tell(logged, caplog) -> None:
    logger = logged(MMLogger.get_instance('calibration'))
    logits = torch.tensor([[3.0, 0.0], [2.0, 0.0], [0.0, 4.0]])
    right = CalibrationHook().fit(logits, torch.tensor([0, 0, 1]), logger)
    assert (right['temperature'], right['threshold']) == (1.0, 0.5)
    assert right['nll_before'] == right['nll_after']
    alone = CalibrationHook().fit(logits, torch.tensor([0, 0, 0]), logger)
    assert 'threshold' not in alone
    assert alone['temperature'] != 1.0
    assert [record.getMessage() for record in caplog.records] == [
        'no temperature is best for 3 validation images (all of them are right, or '
        'nothing was learned): it stays 1',
        'the 3 validation images are all of one kind, defective or not: the threshold '
        'stays 0.5',
    ]
    # A temperature may be left alone.
    logits, labels = torch.tensor([[1.0, 0], [1, 0], [3, 0]]), torch.tensor([0, 1, 1])
    found = CalibrationHook(temperature=False).fit(logits, labels, logger)
    assert found['temperature'] == 1.0


def test_feature_images_of_all_ranks_in_order(make_calibrated, monkeypatch) -> None:
    """Two ranks have every second image; the second sees the first image again."""
    runner = make_calibrated()
    model = runner.model
    model.head.eval()
    one = validation_logits(runner, model)
    # Every part keeps its mode.
    assert model.training
    assert not model.head.training
    rows = list(zip(one[0].tolist(), one[1].tolist(), strict=True))
    shards = [rows[::2], [*rows[1::2], rows[0]]]
    monkeypatch.setattr(calibration, 'all_gather_object', lambda _: shards)
    logits, labels = validation_logits(runner, model)
    assert torch.equal(logits, one[0])
    assert torch.equal(labels, one[1])


def test_exception(make_calibrated) -> None:
    for costs in ((1,), (1, 0), (1, math.inf), (1, math.nan), (1, 1, 1)):
        with pytest.raises(ValueError, match=r'^costs=.* two positive numbers'):
            CalibrationHook(costs=costs)
    with pytest.raises(ValueError, match='val_dataloader=None'):
        make_calibrated(CalibrationHook(), val=False).train()
    plain = ImageClassifier(
        backbone=Flat(),
        head={'type': 'LinearClsHead', 'num_classes': 2, 'in_channels': 12},
    )
    with pytest.raises(ValueError, match='LinearClsHead has no temperature and no thr'):
        make_calibrated(CalibrationHook(), model=plain).train()
