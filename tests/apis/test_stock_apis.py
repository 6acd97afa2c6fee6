"""OpenMMLab's own functions on what a step of a stream has dumped, and a classifier.

``tests/test_stock_inferencers.py`` compares them with a test run; here they are held
against ours, on the files that a work dir holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from mmdefect.apis import DefectInferencer
from tests.helpers.tiny_models import CLASSIFIER, saved_model, stream_of_boxes

IMAGE = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)


@pytest.fixture(autouse=True)
def no_scope_left() -> Iterator[None]:
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(scope='module')
def step(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import mmdet.apis  # noqa: F401  its import is no test's time

    return stream_of_boxes(tmp_path_factory.mktemp('stream')) / 'step_0'


@pytest.fixture(scope='module')
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    import mmpretrain.apis  # noqa: F401

    config, weights = saved_model(CLASSIFIER, tmp_path_factory.mktemp('labels'))
    return str(config), str(weights)


def test_feature_det_inferencer(step: Path) -> None:
    from mmdet.apis import DetInferencer

    config, weights = step / 'tiny_sd-idd.py', step / 'epoch_1.pth'
    stock = DetInferencer(str(config), str(weights), device='cpu', show_progress=False)
    (theirs,) = stock(IMAGE, pred_score_thr=0.0)['predictions']
    ours = DefectInferencer(step, device='cpu').predict_one(IMAGE)
    assert len(ours.scores) > 5
    np.testing.assert_allclose(ours.boxes, theirs['bboxes'], atol=1e-3)
    np.testing.assert_allclose(ours.scores, theirs['scores'], atol=1e-5)
    assert ours.labels.tolist() == theirs['labels']


def test_feature_init_detector(step: Path) -> None:
    from mmdet.apis import inference_detector, init_detector

    config, weights = step / 'tiny_sd-idd.py', step / 'epoch_1.pth'
    model = init_detector(str(config), str(weights), device='cpu')
    theirs = inference_detector(model, IMAGE).pred_instances
    ours = DefectInferencer(config, weights=weights, device='cpu').predict_one(IMAGE)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-5)
    assert model.dataset_meta['classes'][ours.labels[0]] == ours.names[0]


def test_feature_inference_model(classifier: tuple[str, str]) -> None:
    from mmpretrain.apis import get_model, inference_model

    config, weights = classifier
    model = get_model(config, pretrained=weights, device='cpu')
    # What the list of mmpretrain's published models says of those in it.
    task = SimpleNamespace(task='Image Classification')
    model._metainfo = SimpleNamespace(results=[task])
    theirs = inference_model(model, IMAGE)
    ours = DefectInferencer(config, weights=weights, device='cpu').predict_one(IMAGE)
    np.testing.assert_allclose(theirs['pred_scores'], ours.probabilities, atol=1e-5)


def test_feature_image_classification_inferencer(classifier: tuple[str, str]) -> None:
    from mmpretrain.apis import ImageClassificationInferencer

    config, weights = classifier
    stock = ImageClassificationInferencer(config, weights, device='cpu')
    (theirs,) = stock(IMAGE)
    ours = DefectInferencer(config, weights=weights, device='cpu').predict_one(IMAGE)
    np.testing.assert_allclose(theirs['pred_scores'], ours.probabilities, atol=1e-5)
