"""Thresholds of boxes after training: which weights, which images, what is written."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.detectors.base import BaseDetector
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdefect.apis import build_runner, load_config
from mmdefect.engine.calibrated import annotation_files, refuse_test_files
from mmdefect.engine.hooks.box_calibration import (
    BoxCalibrationHook,
    annotated_boxes,
    for_classes,
    validation_boxes,
)
from mmdefect.functional.box_scores import fit_scale_offset
from mmdefect.registry import HOOKS
from mmdefect.streams.settings import training_part
from mmdefect.streams.state import StreamState, canonical
from mmdefect.utils.checkpoint import load_weights
from mmdefect.utils.modules import unwrapped
from tests.conftest import REPO, toy_options
from tests.helpers.configs import scope

TINY = REPO / 'tests/fixtures/tiny_sd-idd.py'
CLASSES = ('crazing', 'inclusion', 'patches')


class Knowing(BaseDetector):
    """Knows where the defects are, and is less sure of them the larger its weight is.

    Of each image it says one box more, of the first class and of score 0.5.
    """

    def __init__(self) -> None:
        super().__init__(data_preprocessor=DetDataPreprocessor())
        self.doubt = nn.Parameter(torch.tensor(0.3))

    def loss(self, inputs: Tensor, samples: list) -> dict[str, Tensor]:
        return {'loss': -self.doubt}

    def predict(self, inputs: Tensor, samples: list) -> list:
        found = []
        for sample in samples:
            real = sample.gt_instances
            odd = real.bboxes.new_tensor([[0.0, 0, 3, 3]])
            scores = torch.full((len(real),), 1.0) - self.doubt.detach().clamp(0, 1)
            found.append(
                InstanceData(
                    bboxes=torch.cat([real.bboxes, odd]),
                    labels=torch.cat([real.labels, real.labels.new_tensor([0])]),
                    scores=torch.cat([scores, torch.tensor([0.5])]),
                )
            )
        return self.add_pred_to_datasample(samples, found)

    def _forward(self, inputs: Tensor, samples: Any = None) -> Tensor:
        return self.doubt

    def extract_feat(self, inputs: Tensor) -> Tensor:
        return inputs


class Rows(Knowing):
    """Sure of a box by the bias of its class alone; the first class is often wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.bbox_head = nn.Module()
        self.bbox_head.gfl_cls = nn.Conv2d(2, 6, 1)
        nn.init.constant_(self.bbox_head.gfl_cls.bias, 1.0)
        self.bbox_head.test_cfg = {'competition': {'power': 1.0}}
        self.looks: list[bool] = []

    def predict(self, inputs: Tensor, samples: list) -> list:
        self.looks.append(self.bbox_head.test_cfg['competition'] is not None)
        found = super().predict(inputs, samples)
        for sample in found:
            boxes = sample.pred_instances
            boxes.scores = self.bbox_head.gfl_cls.bias.detach()[boxes.labels].sigmoid()
        return found


@pytest.fixture(autouse=True)
def _in_their_scope():
    """Whatever scope an earlier test of the process has left behind."""
    with scope('mmdet'):
        yield


def loader(root: Path, file: str, *, test: bool = True, **more: Any) -> dict[str, Any]:
    """Images of a toy NEU-DET as they are."""
    return {
        'batch_size': 4,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'dataset': {
            'type': 'mmdefect.DefectDetDataset',
            'data_root': f'{root}/',
            'ann_file': f'coco/{file}.json',
            'test_mode': test,
            'pipeline': [
                {'type': 'LoadImageFromFile'},
                {'type': 'LoadAnnotations', 'with_bbox': True, 'box_type': None},
                {'type': 'PackDetInputs'},
            ],
            **more,
        },
    }


@pytest.fixture(scope='module')
def root(toy_root, tmp_path_factory) -> Path:
    """Twelve images to train on, twelve to choose on, twelve to test on."""
    folder = tmp_path_factory.mktemp('boxes')
    whole = json.loads((toy_root / 'coco/train.json').read_text(encoding='utf-8'))
    (folder / 'IMAGES').symlink_to(toy_root / 'IMAGES')
    for number, name in enumerate(('train', 'val', 'test')):
        images = whole['images'][number::3]  # class by class
        images = [images[k * len(images) // 12] for k in range(12)]
        ids = {image['id'] for image in images}
        boxes = [a for a in whole['annotations'] if a['image_id'] in ids]
        part = {**whole, 'images': images, 'annotations': boxes}
        path = folder / 'coco' / f'{name}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(part), encoding='utf-8')
    return folder


@pytest.fixture
def make_trained(make_runner, root):
    """A plain training of milliseconds with the hook."""

    def make(hook: BoxCalibrationHook, **more: Any) -> Runner:
        return make_runner(
            epochs=2,
            checkpoint={'type': 'mmdefect.SafeCheckpointHook', 'interval': 1},
            custom_hooks=[hook],
            default_scope='mmdet',
            optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}},
            **{
                'model': Knowing(),
                'train_dataloader': loader(root, 'train', test=False),
                'test_dataloader': loader(root, 'test'),
                'test_cfg': {},
                'test_evaluator': {
                    'type': 'mmdefect.GroupedCocoMetric',
                    'ann_file': f'{root}/coco/test.json',
                },
                **more,
            },
        )

    return make


def calibrated(folder: str | Path) -> dict[str, Any]:
    return load_weights(Path(folder) / 'calibrated.pth')


def test_smoke_a_plain_detector(make_trained, root, caplog) -> None:
    hook = HOOKS.build(
        {
            'type': 'mmdefect.BoxCalibrationHook',
            'costs': (4, 1),
            'dataloader': loader(root, 'val'),
        }
    )
    runner = make_trained(hook)
    runner.train()
    saved = calibrated(runner.work_dir)
    last = load_weights(Path(runner.work_dir) / 'epoch_2.pth')
    assert saved['state_dict'].keys() == last['state_dict'].keys()
    for name, value in saved['state_dict'].items():
        assert torch.equal(value, last['state_dict'][name])
    note = saved['meta']['calibration']
    assert note['checkpoint'] == 'epoch_2.pth'
    assert (note['images'], note['costs'], note['task']) == (12, [4.0, 1.0], 'boxes')
    assert saved['meta']['dataset_meta'] == last['meta']['dataset_meta']
    # Sure boxes of 1 - doubt, false ones of 0.5 and the first class alone.
    sure = 1 - float(unwrapped(runner).doubt)
    assert 0.5 < sure < 0.7
    shown = {n for n, c in note['counts'].items() if c['boxes']}
    assert set(note['thresholds']) == shown
    assert note['thresholds']['crazing'] == pytest.approx((0.5 + sure) / 2)
    assert note['thresholds']['patches'] == pytest.approx(sure / 2)
    for name in shown:
        count = note['counts'][name]
        assert (count['found'], count['false_alarms']) == (count['boxes'], 0)
    # What is meant to go on is what the training has left.
    pointer = Path(runner.work_dir) / 'last_checkpoint'
    assert pointer.read_text(encoding='utf-8').endswith('epoch_2.pth')


def test_feature_scores_are_made_comparable(make_trained, root) -> None:
    """Class rows are scaled and shifted; thresholds are chosen of what comes out."""
    hook = BoxCalibrationHook(dataloader=loader(root, 'val'), scale_scores=True)
    runner = make_trained(hook, model=Rows())
    runner.train()
    saved = calibrated(runner.work_dir)
    note, rows = saved['meta']['calibration'], saved['state_dict']
    last = load_weights(Path(runner.work_dir) / 'epoch_2.pth')['state_dict']
    names = list(note['scale_offset'])
    hits = note['counts']['crazing']['boxes']
    # Of the first class 12 boxes more are wrong: all of one score, so a and b are what
    # a box of logit 1 makes of them.
    wanted = fit_scale_offset(
        torch.tensor([1.0]).sigmoid().repeat(hits + 12), torch.arange(hits + 12) < hits
    )
    assert note['scale_offset']['crazing'] == pytest.approx(wanted, abs=1e-4)
    assert sum(wanted) < 0.5 < sum(note['scale_offset']['patches'])
    for index, name in enumerate(names):
        scale, offset = note['scale_offset'][name]
        weight, bias = (f'bbox_head.gfl_cls.{k}' for k in ('weight', 'bias'))
        torch.testing.assert_close(rows[weight][index], last[weight][index] * scale)
        torch.testing.assert_close(
            rows[bias][index], last[bias][index] * scale + offset
        )
        if index and name in note['thresholds']:  # the first is better never called
            assert note['thresholds'][name] < rows[bias][index].sigmoid()
    # Steps compete when thresholds are chosen, not when scores are fitted.
    looks = unwrapped(runner).looks
    assert looks == sorted(looks)
    assert {*looks} == {False, True}


def test_feature_the_best_checkpoint_of_a_validation(make_trained, root) -> None:
    """With the runner's own validation images, whose best epoch is the first."""
    runner = make_trained(
        BoxCalibrationHook(),
        val_dataloader=loader(root, 'val'),
        val_cfg={},
        val_evaluator={
            'type': 'mmdefect.GroupedCocoMetric',
            'ann_file': f'{root}/coco/val.json',
        },
    )
    runner.train()
    # Both epochs find all: the first of equals stays the best.
    hook = next(h for h in runner.hooks if type(h).__name__ == 'SafeCheckpointHook')
    hook.best_ckpt_path = str(Path(runner.work_dir) / 'epoch_1.pth')
    BoxCalibrationHook(dataloader=loader(root, 'val')).after_train(runner)
    saved = calibrated(runner.work_dir)
    assert saved['meta']['calibration']['checkpoint'] == 'epoch_1.pth'
    first = load_weights(Path(runner.work_dir) / 'epoch_1.pth')['state_dict']
    assert torch.equal(saved['state_dict']['doubt'], first['doubt'])
    assert torch.equal(unwrapped(runner).doubt, first['doubt'])


def test_feature_classes_without_a_box_are_named(make_trained, root, caplog) -> None:
    """Classes of which there is none keep the default, and a warning says which."""
    path = root / 'coco/bare.json'
    content = json.loads((root / 'coco/val.json').read_text(encoding='utf-8'))
    gone = next(c['id'] for c in content['categories'] if c['name'] == 'patches')
    kept = [a for a in content['annotations'] if a['category_id'] != gone]
    path.write_text(json.dumps({**content, 'annotations': kept}), encoding='utf-8')
    runner = make_trained(BoxCalibrationHook(dataloader=loader(root, 'bare')))
    runner.logger.addHandler(caplog.handler)
    runner.train()
    runner.logger.removeHandler(caplog.handler)
    assert 'the validation images show no box of patches' in caplog.text
    assert 'the default threshold stays' in caplog.text
    assert (
        'patches'
        not in calibrated(runner.work_dir)['meta']['calibration']['thresholds']
    )


def test_feature_both_ranks_know_all(monkeypatch, root) -> None:
    settings = for_classes(loader(root, 'val'), ())
    settings.dataset.pop('seen_classes')
    images = Runner.build_dataloader(settings, seed=0)
    model = Knowing()
    one = validation_boxes(images, model)
    assert model.training
    assert list(one) == list(annotated_boxes(images.dataset))
    rows = {k: tuple(part.numpy() for part in v) for k, v in one.items()}
    paths = list(rows)
    shards = [{p: rows[p] for p in paths[::2]}, {p: rows[p] for p in paths[1::2]}]
    monkeypatch.setattr(
        'mmdefect.engine.hooks.box_calibration.all_gather_object', lambda _: shards
    )
    two = validation_boxes(images, model)
    assert two.keys() == one.keys()
    assert all(torch.equal(two[p][0], one[p][0]) for p in paths)


def test_exception(make_trained, make_runner, root) -> None:
    for costs in ((1,), (1, 0), (1, math.inf)):
        with pytest.raises(ValueError, match=r'^costs=.* two positive numbers'):
            BoxCalibrationHook(costs=costs)
    with pytest.raises(ValueError, match=r'^val_dataloader=None: expected images'):
        make_trained(BoxCalibrationHook()).train()
    with pytest.raises(ValueError, match='scale_scores=True for Knowing: expected a G'):
        make_trained(
            BoxCalibrationHook(dataloader=loader(root, 'val'), scale_scores=True)
        ).train()
    with pytest.raises(ValueError, match='Line is no detector of mmdet'):
        make_runner(
            epochs=1,
            checkpoint={'type': 'CheckpointHook'},
            custom_hooks=[BoxCalibrationHook()],
        ).train()


def test_exception_images_of_the_test(make_trained, root, tmp_path) -> None:
    """By name, through a wrapper, and as a copy."""
    with pytest.raises(ValueError, match=r'test\.json is the annotation file of the t'):
        make_trained(BoxCalibrationHook(dataloader=loader(root, 'test'))).train()
    shutil.copy(root / 'coco/test.json', root / 'coco/copy.json')
    with pytest.raises(ValueError, match=r'set aside some training images'):
        make_trained(BoxCalibrationHook(dataloader=loader(root, 'copy'))).train()
    tested = {'dataset': {'datasets': [loader(root, 'test')['dataset']]}}
    ours = annotation_files({'dataset': loader(root, 'test')['dataset']})
    with pytest.raises(ValueError, match='is the annotation file of the test'):
        refuse_test_files(ours, tested)
    refuse_test_files(annotation_files(loader(root, 'val')['dataset']), tested)
    refuse_test_files(ours, None)


@pytest.fixture(scope='module')
def stream(root, tmp_path_factory) -> Path:
    """Two tiny steps with the hook, the second with a teacher."""
    work_dir = tmp_path_factory.mktemp('stream') / 'work'
    epochs = dict.fromkeys(
        (f'stream.{part}.train_cfg.max_epochs' for part in ('base', 'increment')), 1
    )
    cfg = load_config(
        TINY, cfg_options={**toy_options(root), **epochs}, work_dir=str(work_dir)
    )
    images = Config(cfg.test_dataloader.to_dict())
    images.dataset.ann_file = 'coco/val.json'
    cfg.default_hooks.thresholds = {
        'type': 'mmdefect.BoxCalibrationHook',
        'dataloader': images.to_dict(),
    }
    build_runner(cfg).train()
    return work_dir


def test_feature_steps_of_a_stream(stream) -> None:
    """Each step its own, of the classes seen; none starts from it."""
    state = StreamState.load(stream)
    assert [s.checkpoint for s in state.steps] == [
        'step_0/epoch_1.pth',
        'step_1/epoch_1.pth',
    ]
    assert state.steps[1].started_from == 'step_0/epoch_1.pth'
    for step, known in ((0, 3), (1, 6)):
        saved = calibrated(stream / f'step_{step}')
        last = load_weights(stream / f'step_{step}/epoch_1.pth')
        assert saved['meta']['stream'] == last['meta']['stream']
        assert list(saved['meta']['dataset_meta']['classes'])[:3] == list(CLASSES)
        for name, value in saved['state_dict'].items():
            assert torch.equal(value, last['state_dict'][name])
        note = saved['meta']['calibration']
        assert len(note['counts']) == known
        assert note['images'] == 12
        assert set(note['thresholds']) <= set(note['counts'])


def test_feature_a_stream_may_get_the_hook_later() -> None:
    """It decides no weight: what was trained without it goes on."""
    plain = canonical(Config({'default_hooks': {}, 'train_dataloader': {}}))
    hook = {'type': 'mmdefect.BoxCalibrationHook', 'costs': (1, 1)}
    named = {'default_hooks': {'thresholds': hook}, 'train_dataloader': {}}
    assert training_part(canonical(Config(named))) == training_part(plain)
