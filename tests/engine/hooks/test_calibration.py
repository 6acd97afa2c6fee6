"""Calibration after training: which weights, which images, what is written."""

from __future__ import annotations

import logging
import math
import shutil
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
def make_runner(tmp_path):
    """Two epochs in milliseconds, with the hooks under test."""
    made = []

    def make(*hooks, val=None, model=None, checkpoint=None, resume=None) -> Runner:
        val = Pixels(1) if val is None else val
        loader = {'batch_size': 8, 'num_workers': 0}
        sampler = {'type': 'DefaultSampler', 'shuffle': False, 'round_up': False}
        options = {
            'val_dataloader': {**loader, 'dataset': val, 'sampler': sampler},
            'val_cfg': {},
            'val_evaluator': {'type': 'mmdefect.DefectClassMetric'},
        }
        made.append(tmp_path)
        return Runner(
            model=model or network(),
            work_dir=str(tmp_path / 'work' if resume is None else resume.parent),
            load_from=None if resume is None else str(resume),
            resume=resume is not None,
            train_dataloader={**loader, 'dataset': Pixels(0), 'sampler': sampler},
            train_cfg={'by_epoch': True, 'max_epochs': 2},
            optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.05}},
            default_hooks={
                'checkpoint': {
                    'type': 'mmdefect.SafeCheckpointHook',
                    'interval': 1,
                    **(checkpoint or {}),
                }
            },
            custom_hooks=list(hooks),
            default_scope='mmpretrain',
            experiment_name=f'{tmp_path.name}_{len(made)}',
            visualizer={'type': 'Visualizer', 'name': f'{tmp_path.name}_{len(made)}'},
            **(options if val else {}),
        )

    return make


@pytest.fixture
def log(caplog):
    """What MMEngine's logger says, which does not propagate."""
    logger = MMLogger.get_instance('calibration')
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield logger, caplog
    logger.removeHandler(caplog.handler)


def calibrated(runner: Runner) -> dict:
    return load_weights(Path(runner.work_dir) / 'calibrated.pth')


def predicted(model: nn.Module, dataset: Dataset) -> list[DataSample]:
    model.eval()
    batch = [dataset[k] for k in range(len(dataset))]
    data = {key: [item[key] for item in batch] for key in ('inputs', 'data_samples')}
    return model.test_step(data)


def test_smoke(make_runner) -> None:
    hook = HOOKS.build({'type': 'mmdefect.CalibrationHook', 'costs': (5, 1)})
    runner = make_runner(hook)
    runner.train()
    saved = calibrated(runner)
    state = saved['state_dict']
    last = load_weights(Path(runner.work_dir) / 'epoch_2.pth')['state_dict']
    assert state.keys() == last.keys()
    buffers = ('head.temperature', 'head.threshold')
    for name, value in state.items():
        assert torch.equal(value, last[name]) == (name not in buffers)
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


def test_feature_the_threshold_is_at_the_temperature(make_runner) -> None:
    runner = make_runner(CalibrationHook(costs=(5, 1)))
    runner.train()
    val = Pixels(1)
    samples = predicted(runner.model, val)
    scores = torch.stack([sample.pred_score for sample in samples])[:, 0]
    threshold = runner.model.head.threshold.item()
    assert threshold == cost_threshold(scores, val.labels == 0, 5, 1)
    called = torch.tensor([int(sample.pred_label) for sample in samples]) == 0
    assert torch.equal(called, scores >= threshold)
    assert 0 < called.sum() < 41


def test_feature_dear_misses_lower_the_threshold() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 2
    logits = torch.randn(300, 2, generator=generator)
    logits[torch.arange(300), labels] += 1
    logger = MMLogger.get_current_instance()
    found = [
        CalibrationHook(costs=costs).fit(logits, labels, logger)['threshold']
        for costs in ((10, 1), (1, 1), (1, 10))
    ]
    assert found == sorted(found)
    assert found[0] < 0.3 < 0.7 < found[2]


def test_feature_the_best_checkpoint_is_taken(make_runner) -> None:
    runner = make_runner(
        CalibrationHook(),
        Spoil(),
        checkpoint={'save_best': 'defect/accuracy', 'rule': 'greater'},
    )
    runner.train()
    saved = calibrated(runner)
    assert saved['meta']['calibration']['checkpoint'] == (
        'best_defect_accuracy_epoch_1.pth'
    )
    folder = Path(runner.work_dir)
    best = load_weights(folder / 'best_defect_accuracy_epoch_1.pth')['state_dict']
    last = load_weights(folder / 'epoch_2.pth')['state_dict']
    weight = saved['state_dict']['head.fc.weight']
    assert torch.equal(weight, best['head.fc.weight'])
    assert not torch.equal(weight, last['head.fc.weight'])
    assert torch.equal(runner.model.head.fc.weight, weight)


def test_feature_a_last_epoch_that_is_likelier_is_named(make_runner, log) -> None:
    """The best epoch by another metric is kept, and both losses are said."""
    spoiled = {'save_best': 'defect/nll', 'rule': 'greater'}  # the worse epoch wins
    for options, warned in (({**spoiled}, True), ({**spoiled, 'rule': 'less'}, False)):
        log[1].clear()
        runner = make_runner(CalibrationHook(temperature=False), checkpoint=options)
        runner.logger.addHandler(log[1].handler)
        runner.train()
        note = calibrated(runner)['meta']['calibration']
        assert note['checkpoint'] == f'best_defect_nll_epoch_{1 if warned else 2}.pth'
        text = (
            f'has a negative log-likelihood of {note["nll_after"]:.4g} on the '
            'validation images, epoch_2.pth of the last epoch one of '
        )
        assert (text in log[1].text) == warned
        folder = Path(runner.work_dir)
        kept = load_weights(folder / note['checkpoint'])['state_dict']
        assert torch.equal(runner.model.head.fc.weight, kept['head.fc.weight'])
        shutil.rmtree(folder)


def test_feature_a_best_checkpoint_that_is_gone_is_missed(make_runner, log) -> None:
    class Remove(Hook):
        priority = 'HIGHEST'  # before the calibration

        def after_train(self, runner: Runner) -> None:
            for path in Path(runner.work_dir).glob('best_*'):
                path.unlink()

    runner = make_runner(
        CalibrationHook(),
        Remove(),
        checkpoint={'save_best': 'defect/accuracy', 'rule': 'greater'},
    )
    runner.logger.addHandler(log[1].handler)
    runner.train()
    assert calibrated(runner)['meta']['calibration']['checkpoint'] == 'epoch_2.pth'
    assert 'is gone, the checkpoint to be calibrated: epoch_2.pth' in log[1].text


def test_feature_averaged_weights_are_calibrated_and_kept(make_runner) -> None:
    """A test in the same process swaps in the average: it has to be this model."""
    ema = {'type': 'EMAHook', 'momentum': 0.3, 'priority': 'ABOVE_NORMAL'}
    runner = make_runner(CalibrationHook(), ema)
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


def test_feature_a_finished_run_is_calibrated_again(make_runner) -> None:
    """Resumed from another folder: the best checkpoint is found beside."""
    options = {'save_best': 'defect/accuracy', 'rule': 'greater'}
    runner = make_runner(CalibrationHook(), Spoil(), checkpoint=options)
    runner.train()
    first = calibrated(runner)['state_dict']
    moved = Path(runner.work_dir).parent / 'moved'
    Path(runner.work_dir).rename(moved)
    (moved / 'calibrated.pth').unlink()
    again = make_runner(
        CalibrationHook(), checkpoint=options, resume=moved / 'epoch_2.pth'
    )
    again.train()
    second = load_weights(moved / 'calibrated.pth')['state_dict']
    assert all(torch.equal(second[name], value) for name, value in first.items())


def test_feature_weights_in_memory_without_a_checkpoint(make_runner, log) -> None:
    logger, caplog = log
    runner = make_runner(CalibrationHook())
    runner.logger = logger
    CalibrationHook().after_train(runner)
    assert 'the weights in memory are calibrated' in caplog.text
    assert calibrated(runner)['meta']['dataset_meta'] == Pixels.metainfo
    assert [path.name for path in Path(runner.work_dir).glob('*.pth*')] == [
        'calibrated.pth'
    ]


def test_feature_where_images_cannot_tell(log) -> None:
    logger, caplog = log
    logits = torch.tensor([[3.0, 0.0], [2.0, 0.0], [0.0, 4.0]])
    right = CalibrationHook().fit(logits, torch.tensor([0, 0, 1]), logger)
    assert (right['temperature'], right['threshold']) == (1.0, 0.5)
    assert right['nll_before'] == right['nll_after']
    alone = CalibrationHook().fit(logits, torch.tensor([0, 0, 0]), logger)
    assert alone['threshold'] == 0.5
    assert alone['temperature'] != 1.0
    assert [record.getMessage() for record in caplog.records] == [
        'no temperature is best for 3 validation images (all of them are right, or '
        'nothing was learnt): it stays 1.',
        'the 3 validation images are all of one kind, defective or not: the threshold '
        'stays 0.5.',
    ]


def test_feature_temperature_may_be_left_alone() -> None:
    logits, labels = torch.tensor([[1.0, 0], [1, 0], [3, 0]]), torch.tensor([0, 1, 1])
    logger = MMLogger.get_current_instance()
    found = CalibrationHook(temperature=False).fit(logits, labels, logger)
    assert found['temperature'] == 1.0


def test_feature_images_of_all_ranks_in_order(make_runner, monkeypatch) -> None:
    """Two ranks have every second image; the second sees the first image again."""
    runner = make_runner()
    model = runner.model
    one = validation_logits(runner, model)
    rows = list(zip(one[0].tolist(), one[1].tolist(), strict=True))
    shards = [rows[::2], [*rows[1::2], rows[0]]]
    monkeypatch.setattr(calibration, 'all_gather_object', lambda _: shards)
    logits, labels = validation_logits(runner, model)
    assert torch.equal(logits, one[0])
    assert torch.equal(labels, one[1])


def test_feature_the_mode_of_the_model_stays(make_runner) -> None:
    runner = make_runner()
    for mode in (True, False):
        runner.model.train(mode)
        validation_logits(runner, runner.model)
        assert runner.model.training is mode


def test_exception(make_runner) -> None:
    for costs in ((1,), (1, 0), (1, math.inf), (1, math.nan), (1, 1, 1)):
        with pytest.raises(ValueError, match='two positive numbers'):
            CalibrationHook(costs=costs)
    with pytest.raises(ValueError, match='no val_dataloader'):
        make_runner(CalibrationHook(), val=False).train()
    plain = ImageClassifier(
        backbone=Flat(),
        head={'type': 'LinearClsHead', 'num_classes': 2, 'in_channels': 12},
    )
    with pytest.raises(ValueError, match='LinearClsHead has no temperature and no thr'):
        make_runner(CalibrationHook(), model=plain).train()
