"""Alarms of trained models of maps: what images certify, and what is refused."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmdefect.apis.alarms import above
from mmdefect.apis.calibrate import calibrate
from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.utils.checkpoint import load_weights
from tests.helpers import exported_toys as toys
from tests.helpers.tiny_models import MAPS, saved_model


def drawn(path: Path, seed: int) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return image


def calibrated(folder: Path, cfg: Any = MAPS, **options: Any):
    config, weights = saved_model(cfg, folder / 'model')
    return calibrate(
        config, images=folder / 'good', weights=weights, device='cpu', **options
    )


def with_training(root: Path) -> dict[str, Any]:
    """A config that says what its model has learned."""
    cfg = copy.deepcopy(MAPS)
    dataset = copy.deepcopy(cfg['test_dataloader']['dataset'])
    dataset |= {'data_root': str(root), 'split': 'train', 'keep_classes': ['metal']}
    return {**cfg, 'train_dataloader': {'dataset': dataset}}


def test_smoke(tmp_path: Path) -> None:
    """Ten images: what they certify is said, in the checkpoint and by each result."""
    images = [
        drawn(tmp_path / f'good/cloth/day {number % 2}/{number}.png', number)
        for number in range(10)
    ]
    found = calibrated(tmp_path)
    assert (found.task, found.images) == ('maps', 10)
    said = '10 good images certify 25.9 % at 95 %; 5 % is not certified: needs 59'
    assert found.notes == (
        f'cloth: {said}',
        'no images of metal: no threshold, nothing decided',
    )
    note = load_weights(found.path)['meta']['calibration']
    assert note['thresholds'] == found.thresholds
    assert (note['false_alarm_rate'], note['confidence']) == (0.05, 0.95)
    assert note['counts'] == {'cloth': 10}
    # Their highest score is the alarm, and above it one is raised.
    config = tmp_path / 'model/config.py'
    backend = TorchBackend(config, weights=found.path, device='cpu')
    scores = [backend([image])[0].score for image in images]
    assert backend.spec.alarms['cloth']['threshold'] == max(scores)
    assert found.thresholds['cloth'] == above(max(scores)) > max(scores)
    assert backend.spec.evidence_of('cloth') == said
    assert not backend.spec.calibrated  # nothing is known of metal
    inspect = DefectInferencer(config, weights=found.path, product='cloth')
    result = inspect.predict_one(images[int(np.argmax(scores))])
    assert (result.decision, result.to_dict()['note']) == ('ok', said)


def test_feature_rate_and_confidence(tmp_path: Path) -> None:
    """P(Binomial(10, 0.5) <= 4) = 0.377, <= 5 = 0.623: four of ten lie above."""
    images = [drawn(tmp_path / f'good/cloth/{k}.png', k) for k in range(10)]
    found = calibrated(tmp_path, false_alarm_rate=0.5, confidence=0.5)
    assert found.notes[0] == 'cloth: 10 good images certify 50 % at 50 %'
    config = tmp_path / 'model/config.py'
    backend = TorchBackend(config, weights=found.path, device='cpu')
    scores = [backend([image])[0].score for image in images]
    assert sum(score >= found.thresholds['cloth'] for score in scores) == 4


def test_feature_a_model_of_one_product_needs_no_folder_of_it(tmp_path: Path) -> None:
    cfg = Config(copy.deepcopy(MAPS))
    cfg.model.num_classes = 1
    cfg.test_dataloader.dataset.seen_classes = ['cloth']
    meta = {'dataset_meta': {'classes': ['cloth']}}
    config, weights = saved_model(cfg, tmp_path / 'model', meta=meta)
    for number in range(3):
        drawn(tmp_path / f'good/{number}.png', number)
    found = calibrate(config, images=tmp_path / 'good', weights=weights, device='cpu')
    assert list(found.thresholds) == ['cloth']
    assert found.images == 3


def test_feature_next_float32() -> None:
    assert above(1.0) == 1 + 2**-23
    assert np.float32(above(0.1)) > np.float32(0.1)


def test_feature_training_images_that_are_not_here(tmp_path: Path) -> None:
    drawn(tmp_path / 'good/cloth/0.png', 0)
    found = calibrated(tmp_path, with_training(tmp_path / 'gone'))
    assert found.notes[0].startswith('the training images are not here')


def test_exception_images_that_were_learned(tmp_path: Path) -> None:
    """Of any step: the config of the last one keeps metal alone."""
    root = tmp_path / 'products'
    for product in ('cloth', 'metal'):
        for number in range(2):
            drawn(root / f'{product}/train/good/{number}.png', number)
            drawn(root / f'{product}/test/good/{number}.png', 10 + number)
    drawn(tmp_path / 'good/cloth/new.png', 5)
    assert len(calibrated(tmp_path, with_training(root)).notes) == 2
    shutil.copy(root / 'cloth/train/good/1.png', tmp_path / 'good/cloth/old.png')
    with pytest.raises(ValueError, match=r'training images .*old\.png') as raised:
        calibrated(tmp_path, with_training(root), out=tmp_path / 'x.pth')
    assert 'expected images that it has not learned from' in str(raised.value)
    assert not (tmp_path / 'x.pth').exists()


def test_feature_a_model_that_recognises_products_is_told_them(tmp_path: Path) -> None:
    """Its own alarm, 1 of a few images, gives way to one that others have chosen."""
    cfg, weights = toys.memory(tmp_path)
    before = TorchBackend(cfg, weights=weights, device='cpu')
    assert before.spec.thresholds == dict.fromkeys(toys.PRODUCTS, above(1.0))
    assert before.spec.calibrated
    images = toys.product_pictures(1, 22)[10:]
    for number, image in enumerate(images):
        path = tmp_path / f'good/marble/{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    found = calibrate(cfg, images=tmp_path / 'good', weights=weights, device='cpu')
    assert found.notes[0] == (
        'marble: 12 good images certify 22.1 % at 95 %; 5 % is not certified: needs 59'
    )
    backend = TorchBackend(cfg, weights=found.path, device='cpu')
    told = backend.told('marble')
    highest = max(told([image])[0].score for image in images)
    assert backend.spec.thresholds['marble'] == above(highest)
    assert backend.spec.thresholds['wood'] == above(1.0)
    assert '12 good images' in str(backend.spec.evidence_of('marble'))
    assert 'nothing' in str(backend.spec.evidence_of('wood'))
