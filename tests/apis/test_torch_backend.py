"""Models of all tasks behind one interface: what they say, what is known of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from torch.nn import functional

from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.apis.torch_backend import TorchBackend, chosen_device, task_of
from mmdefect.cli.main import main
from mmdefect.pruning.channels.plan import ChannelPlan, LayerCut, write_plan
from mmdefect.utils.checkpoint import load_weights
from mmdefect.utils.files import file_sha256, write_json
from tests.helpers.tiny_models import (
    CLASSIFIER,
    MAPS,
    built_from,
    saved_model,
    stream_of_boxes,
)

RANDOM = np.random.default_rng(0)
IMAGE, OTHER = (RANDOM.integers(0, 255, (h, 96, 3), np.uint8) for h in (96, 60))


@pytest.fixture(scope='module')
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stream_of_boxes(tmp_path_factory.mktemp('stream'))


@pytest.fixture(scope='module')
def boxes(stream: Path) -> TorchBackend:
    return TorchBackend(stream, device='cpu')


@pytest.fixture(scope='module')
def labels(tmp_path_factory: pytest.TempPathFactory) -> TorchBackend:
    config, weights = saved_model(CLASSIFIER, tmp_path_factory.mktemp('labels'))
    return TorchBackend(config, weights=weights, device='cpu')


@pytest.fixture(scope='module')
def maps(tmp_path_factory: pytest.TempPathFactory) -> TorchBackend:
    config, weights = saved_model(MAPS, tmp_path_factory.mktemp('maps'))
    return TorchBackend(config, weights=weights, device='cpu')


def as_calibrated(path: Path, **note: Any) -> Path:
    """The same weights, with thresholds in the meta, beside them."""
    checkpoint = load_weights(path)
    meta = {**checkpoint['meta'], 'calibration': note}
    torch.save({**checkpoint, 'meta': meta}, path.with_name('calibrated.pth'))
    return path.with_name('calibrated.pth')


def test_feature_boxes_are_those_of_mmdet(stream: Path, boxes: TorchBackend) -> None:
    """Of mmdet's own function, on the config that the step has dumped."""
    from mmdet.apis import inference_detector, init_detector

    config, weights = stream / 'step_0/tiny_sd-idd.py', stream / 'step_0/epoch_1.pth'
    model = init_detector(str(config), str(weights), device='cpu')
    for image in (IMAGE, OTHER):
        wanted = inference_detector(model, image).pred_instances
        (found,) = boxes([image])
        assert len(found.scores) > 5
        np.testing.assert_allclose(found.boxes, wanted.bboxes, atol=1e-4)
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-6)
        np.testing.assert_array_equal(found.labels, wanted.labels)
        assert (found.boxes.dtype, found.scores.dtype) == (np.float32, np.float32)
        assert found.labels.dtype == np.int64
        assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize('key', ['gfl_cls.bias', 'gfl_reg.bias', 'gfl_cls.weight'])
def test_exception_nan_of_a_detector(key: str, stream: Path) -> None:
    """mmdet drops such scores as if they were low: the part would be called ok."""
    inspect = DefectInferencer(stream, device='cpu')
    backend: Any = inspect.backend
    backend.model.state_dict()[f'bbox_head.{key}'].view(-1)[0] = float('nan')
    found = inspect.predict_one(IMAGE)
    assert found.decision == 'undecided'
    assert 'the head of the model gives NaN: expected numbers' in str(found.error)


def test_feature_spec_of_boxes(stream: Path, boxes: TorchBackend) -> None:
    spec, weights = boxes.spec, stream / 'step_0/epoch_1.pth'
    assert (spec.task, spec.calibrated) == ('boxes', False)
    assert spec.classes == ('crazing', 'inclusion', 'patches')
    assert spec.threshold_of('patches') == 0.3
    assert spec.about['step'] == 0
    assert spec.about['checkpoint'] == str(weights)
    assert spec.about['checkpoint_sha256'] == file_sha256(weights)


def test_feature_calibrated_checkpoint_of_a_step(stream: Path, tmp_path: Path) -> None:
    """Taken while it is newer than what it was made of."""
    work = tmp_path / 'work'
    shutil.copytree(stream, work)
    thresholds = {'crazing': 0.4, 'inclusion': 0.5, 'patches': 0.25}
    last = work / 'step_0/epoch_1.pth'
    path = as_calibrated(last, thresholds=thresholds, costs=[5, 1], images=12)
    spec = TorchBackend(work, device='cpu').spec
    assert spec.calibrated
    assert spec.thresholds == thresholds
    assert spec.about['checkpoint'] == str(path)
    assert spec.about['calibration']['costs'] == [5, 1]
    os.utime(last, (path.stat().st_atime, path.stat().st_mtime + 10))
    assert not TorchBackend(work, device='cpu').spec.calibrated
    del thresholds['patches']
    as_calibrated(last, thresholds=thresholds)
    spec = TorchBackend(work, weights=path, device='cpu').spec
    assert not spec.calibrated  # of one class nobody knows
    assert (spec.threshold_of('inclusion'), spec.threshold_of('patches')) == (0.5, 0.3)


def test_feature_maps_and_their_size(maps: TorchBackend) -> None:
    """Resized by hand, looked at by the model itself, enlarged by hand."""
    model = built_from(MAPS)
    for image, found in zip((IMAGE, OTHER), maps([IMAGE, OTHER]), strict=True):
        small = np.asarray(Image.fromarray(image).resize((32, 32), 2))
        pixels = torch.from_numpy(small.transpose(2, 0, 1).copy())
        with torch.no_grad():
            ready = model.data_preprocessor({'inputs': [pixels]})['inputs']
            grid = model(ready, mode='tensor')
        full = functional.interpolate(
            grid, (32, 32), mode='bilinear', align_corners=True
        )
        score = functional.avg_pool2d(full, 16, stride=1).max()
        assert found.anomaly_map.shape == image.shape[:2]
        assert found.anomaly_map.dtype == np.float32
        wanted = cv2.resize(full[0, 0].numpy(), image.shape[1::-1])
        np.testing.assert_allclose(found.anomaly_map, wanted, atol=1e-5)
        assert found.score == pytest.approx(float(score), abs=1e-6)
        assert found.product is None
    assert maps.spec.classes == ('cloth', 'metal')
    assert maps.spec.threshold_of('cloth') is None


def test_feature_thresholds_of_products(tmp_path: Path) -> None:
    cfg = Config(MAPS)
    cfg.model.num_classes = 1
    cfg.test_dataloader.dataset.seen_classes = ['cloth']
    note = {'thresholds': {'cloth': 1.5}}
    meta = {'calibration': note, 'dataset_meta': {'classes': ['cloth']}}
    config, weights = saved_model(cfg, tmp_path, meta=meta)
    backend = TorchBackend(config, weights=weights, device='cpu')
    assert backend.spec.calibrated
    assert backend.spec.threshold_of('cloth') == 1.5
    (found,) = backend([IMAGE])
    assert found.product == 'cloth'  # there is no other


def test_feature_labels(labels: TorchBackend, tmp_path: Path) -> None:
    model = built_from(CLASSIFIER)
    for image, found in zip((IMAGE, OTHER), labels([IMAGE, OTHER]), strict=True):
        rgb = image[..., ::-1].transpose(2, 0, 1).astype(np.float32)
        with torch.no_grad():
            logits = model(torch.from_numpy((rgb - 100) / 50)[None])
        wanted = logits.softmax(1)[0].numpy()
        np.testing.assert_allclose(found.probabilities, wanted, atol=1e-5)
    spec = labels.spec
    assert (spec.task, spec.classes) == ('labels', ('broken', 'good'))
    assert (spec.defective, spec.thresholds) == ('broken', {'broken': 0.5})
    assert not spec.calibrated


def test_feature_calibrated_classifier_of_a_plain_work_dir(tmp_path: Path) -> None:
    _, weights = saved_model(CLASSIFIER, tmp_path)
    (tmp_path / 'last_checkpoint').write_text(f'/was/elsewhere/{weights.name}')
    assert not TorchBackend(tmp_path, device='cpu').spec.calibrated
    checkpoint = load_weights(weights)
    checkpoint['state_dict']['head.threshold'].fill_(0.125)
    checkpoint['meta'] = {'calibration': {'threshold': 0.125, 'costs': [7.0, 1.0]}}
    torch.save(checkpoint, tmp_path / 'calibrated.pth')
    spec = TorchBackend(tmp_path, device='cpu').spec
    assert (spec.calibrated, spec.threshold_of('broken')) == (True, 0.125)
    torch.save(checkpoint, tmp_path / 'best_defect_nll_epoch_3.pth')
    (tmp_path / 'calibrated.pth').unlink()
    found = TorchBackend(tmp_path, device='cpu').spec.about['checkpoint']
    assert Path(found).name == 'best_defect_nll_epoch_3.pth'
    torch.save(checkpoint, tmp_path / 'best_defect_f1_epoch_1.pth')
    with pytest.raises(ValueError, match='holds 2 best checkpoints'):
        TorchBackend(tmp_path, device='cpu')


def test_feature_classifier_without_a_threshold(tmp_path: Path) -> None:
    cfg = Config(CLASSIFIER)
    cfg.model.head = {'type': 'LinearClsHead', 'in_channels': 8, 'num_classes': 2}
    config, weights = saved_model(cfg, tmp_path)
    spec = TorchBackend(config, weights=weights, device='cpu').spec
    assert (spec.defective, dict(spec.thresholds)) == (None, {})


def test_feature_pruned_networks(tmp_path: Path) -> None:
    """A sweep's chosen network, and one by its folder, of a sweep that was moved."""
    cut = {
        'blocks.0.conv1': LayerCut(out=(1, 2), out_of=4),
        'blocks.0.conv2': LayerCut(into=(1, 2), into_of=4),
    }
    folder = tmp_path / 'parameters-0.30'
    folder.mkdir()
    plan = write_plan(ChannelPlan(layers=cut), folder / 'plan.json')
    cfg = Config(CLASSIFIER)
    cfg.model.backbone = {
        'type': 'mmdefect.PrunedBackbone',
        'backbone': cfg.model.backbone,
        'plan': str(plan),
    }
    model = built_from(cfg)
    torch.save({'state_dict': model.state_dict()}, folder / 'classifier.pth')
    cfg.model.backbone.plan = '/was/elsewhere/plan.json'
    cfg.dump(folder / 'classifier.py')
    write_json(tmp_path / 'prune.json', {})
    with pytest.raises(FileNotFoundError, match='expected a sweep that is finished'):
        TorchBackend(tmp_path, device='cpu')
    write_json(tmp_path / 'summary.json', {'chosen': folder.name})
    for given in (tmp_path, folder):
        backend = TorchBackend(given, device='cpu')
        assert backend.spec.classes == ('broken', 'good')
        assert backend.model.backbone.blocks[0].conv1.out_channels == 2
        (found,) = backend([IMAGE])
        assert found.probabilities.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match='step=1: expected none'):
        TorchBackend(tmp_path, step=1, device='cpu')


def test_feature_grey_and_float_pipelines(tmp_path: Path) -> None:
    """What the loading transform would have done is done to the array."""
    cfg = Config(CLASSIFIER)
    loading = {'type': 'LoadImageFromFile', 'color_type': 'grayscale'}
    cfg.test_dataloader.dataset.pipeline[0] = {**loading, 'to_float32': True}
    config, weights = saved_model(cfg, tmp_path)
    backend = TorchBackend(config, weights=weights, device='cpu')
    item = backend.pipeline(IMAGE)
    grey = cv2.cvtColor(IMAGE, cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(item['inputs'].numpy()[0], grey)
    assert item['inputs'].dtype == torch.float32


def test_smoke_nothing_to_look_at(labels: TorchBackend) -> None:
    assert labels([]) == []


def test_feature_the_image_is_left_as_it_is(boxes: TorchBackend) -> None:
    before = IMAGE.copy()
    boxes([IMAGE])
    np.testing.assert_array_equal(IMAGE, before)


@pytest.mark.parametrize(
    'device', ['cuda', 'cuda:7', 'toaster', 'cpu:x', 'meta', None, '']
)
def test_exception_device(device: Any) -> None:
    with pytest.raises(ValueError, match=rf'^device={device!r}: expected one of this '):
        chosen_device(device)


def test_exception_calibration_notes(tmp_path: Path) -> None:
    """A classifier whose threshold is the default is not calibrated."""
    note: Any = {'temperature': 2.0, 'thresholds': {}, 'images': 3}
    for more in ({}, {'threshold': float('nan')}, {'threshold': None}):
        meta = {'calibration': {**note, **more}}
        config, weights = saved_model(CLASSIFIER, tmp_path / 'labels', meta=meta)
        assert not TorchBackend(config, weights=weights, device='cpu').spec.calibrated
    note = {'thresholds': {'cloth': float('inf'), 'metal': 2.0}}
    config, weights = saved_model(MAPS, tmp_path / 'a', meta={'calibration': note})
    spec = TorchBackend(config, weights=weights, device='cpu').spec
    assert (spec.calibrated, spec.thresholds) == (False, {'metal': 2.0})
    for wrong in (5, {'thresholds': [1]}):
        config, weights = saved_model(MAPS, tmp_path / 'b', meta={'calibration': wrong})
        with pytest.raises(
            ValueError, match=r"meta\['calibration'\]=.*: expected what"
        ):
            TorchBackend(config, weights=weights, device='cpu')


def test_exception_weights_of_another_config(stream: Path, tmp_path: Path) -> None:
    config, weights = saved_model(CLASSIFIER, tmp_path)
    with pytest.raises(
        ValueError, match=r'epoch_1\.pth does not fit the config: it lacks .*backbone\.'
    ):
        TorchBackend(stream, weights=weights, device='cpu')
    with pytest.raises(ValueError, match='does not fit the config'):
        TorchBackend(config, weights=stream / 'step_0/epoch_1.pth', device='cpu')


def test_exception_classes(tmp_path: Path) -> None:
    cfg = Config(CLASSIFIER)
    del cfg.test_dataloader.dataset['classes']
    config, weights = saved_model(cfg, tmp_path / 'none')
    with pytest.raises(ValueError, match='does not say its classes, nor does the con'):
        TorchBackend(config, weights=weights, device='cpu')
    cfg.test_dataloader.dataset.type = 'CIFAR10'  # of mmpretrain, which names them
    config, weights = saved_model(cfg, tmp_path / 'ten')
    with pytest.raises(ValueError, match=r'2 outputs and 10 names .*\(airplane, auto'):
        TorchBackend(config, weights=weights, device='cpu')
    meta = {'dataset_meta': {'classes': ['a', 'b', 'c']}}
    config, weights = saved_model(CLASSIFIER, tmp_path / 'three', meta=meta)
    with pytest.raises(ValueError, match='has 2 outputs and 3 names of classes'):
        TorchBackend(config, weights=weights, device='cpu')


def test_exception_pipeline_and_model(tmp_path: Path) -> None:
    cfg = Config(CLASSIFIER)
    cfg.test_dataloader.dataset.pipeline.pop(0)
    config, weights = saved_model(cfg, tmp_path / 'a')
    with pytest.raises(ValueError, match=r"pipeline=\['PackInputs'\]: expected"):
        TorchBackend(config, weights=weights, device='cpu')
    cfg.test_dataloader.dataset.pipeline.insert(0, {'type': 'os.system'})
    cfg.dump(tmp_path / 'a/config.py')
    (tmp_path / 'a/last_checkpoint').write_text('epoch_1.pth')
    with pytest.raises(ValueError, match=r"builds 'os\.system': expected types"):
        TorchBackend(tmp_path / 'a', device='cpu')
    for step, message in (
        ({'type': 'Nope'}, r"pipeline\.type='Nope', which cannot be built"),
        ({'scale': 3}, 'pipeline has an object of 1 entries: expected dict'),
    ):
        cfg = Config(CLASSIFIER)
        cfg.test_dataloader.dataset.pipeline.append(step)
        config, weights = saved_model(cfg, tmp_path / 'b')
        with pytest.raises(ValueError, match=message):
            TorchBackend(config, weights=weights, device='cpu')
    with pytest.raises(ValueError, match=r"^model\.type='Linear': expected a detector"):
        task_of(torch.nn.Linear(1, 1))


def test_feature_predict_says_which_step_looks(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cv2.imwrite(str(tmp_path / 'a.png'), IMAGE)
    words = ['predict', str(stream), str(tmp_path / 'a.png'), '--device', 'cpu']
    for more in ([], ['--out', str(tmp_path / 'out')], ['--step', '0']):
        assert main([*words, *more]) == 0
        said = capsys.readouterr().out.splitlines()
        assert said[0] == f'step 0 of {stream} looks; not trained yet: 1'
