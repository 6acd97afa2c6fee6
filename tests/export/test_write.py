"""A classifier is exported once in the fast tier; networks that take longer are slow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.deploy.package import FILE, Package, read_package
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.runtime import open_package
from mmdefect.export.verify import NotEqualError, Tolerance, compare
from mmdefect.export.write import export
from tests.deploy.test_without_torch import predict_without_torch
from tests.helpers import exported_toys as toys


@pytest.fixture(scope='module')
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[toys.Toy, Path]:
    folder = tmp_path_factory.mktemp('classifier')
    toy = toys.classifier(folder)
    return toy, export(toy[0], folder / 'package', weights=toy[1])


def check_equal(one: Prediction, other: Prediction) -> None:
    """The same decision, and the same numbers to rounding."""
    assert one.error is other.error is None
    for name in ('decision', 'name', 'names', 'kinds', 'threshold', 'calibrated'):
        assert getattr(one, name) == getattr(other, name), name
    if one.score is not None:
        assert one.score == pytest.approx(other.score, rel=1e-4, abs=1e-4)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=0.1)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)
    if one.anomaly_map is not None:
        largest = one.anomaly_map.max()
        np.testing.assert_allclose(
            one.anomaly_map, other.anomaly_map, atol=1e-4 * largest
        )
    if one.probabilities is not None:
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)


def check_package(toy: toys.Toy, folder: Path, images: list[np.ndarray]) -> Package:
    """What the inferencer says of the checkpoint, it says of the package."""
    model = DefectInferencer(toy[0], weights=toy[1], device='cpu')
    for size in (1, len(images)):
        package = DefectInferencer(folder, batch_size=size)
        for one, other in zip(model(images), package(images), strict=True):
            check_equal(one, other)
    assert {path.name for path in folder.iterdir()} >= {FILE, 'README.md'}
    return read_package(folder)


def test_feature_labels(classifier: tuple[toys.Toy, Path]) -> None:
    toy, folder = classifier
    images = [*toys.pictures(3, (70, 50)), *toys.pictures(2, (31, 90), seed=1)]
    package = check_package(toy, folder, images)
    assert sorted(path.name for path in folder.iterdir()) == [
        'README.md', 'model.onnx', FILE
    ]  # fmt: skip
    assert package.spec.classes == ('broken', 'ok')
    assert package.input.size == (40, 32)
    about = package.spec.about
    assert len(about['config_sha256']) == len(about['checkpoint_sha256']) == 64
    assert about['data']['classes'] == ['broken', 'ok']
    assert {'commit', 'exported', 'mmdefect', 'step'} <= about.keys()
    assert package.parity['images'] == package.parity['decisions_equal'] == 8
    assert package.parity['largest_difference']['scores'] < 1e-5
    card = (folder / 'README.md').read_text(encoding='utf-8')
    for said in ('- broken\n- ok', 'not calibrated', package.graph.sha256, '40 x 32'):
        assert said in card


def test_feature_without_torch(
    classifier: tuple[toys.Toy, Path], tmp_path: Path
) -> None:
    toy, folder = classifier
    images = toys.pictures(2, (70, 50))
    for number, image in enumerate(images):
        assert cv2.imwrite(str(tmp_path / f'{number}.png'), image)
    found = predict_without_torch(folder, tmp_path)
    model = DefectInferencer(toy[0], weights=toy[1], device='cpu')
    for one, expected in zip(found, model(images), strict=True):
        assert one['decision'] == expected.decision
        assert one['score'] == pytest.approx(expected.score, abs=1e-4)


def test_feature_a_threshold_in_the_package(
    classifier: tuple[toys.Toy, Path], tmp_path: Path
) -> None:
    """Moved in the file, without another export."""
    (image,) = toys.pictures(1, (70, 50))
    score = DefectInferencer(classifier[1]).predict_one(image).score
    assert score is not None
    for threshold, expected in ((score - 0.01, 'defective'), (score + 0.01, 'ok')):
        folder = tmp_path / expected
        shutil.copytree(classifier[1], folder)
        content = json.loads((folder / FILE).read_text(encoding='utf-8'))
        content['thresholds'] = {'broken': threshold}
        (folder / FILE).write_text(json.dumps(content), encoding='utf-8')
        assert DefectInferencer(folder).predict_one(image).decision == expected


def test_exception_other_weights(
    classifier: tuple[toys.Toy, Path], tmp_path: Path
) -> None:
    """The comparison that every export makes refuses a graph of other weights."""
    (cfg, path), folder = classifier
    saved = torch.load(path)
    saved['state_dict']['head.fc.bias'] += torch.tensor([0.01, 0])
    torch.save(saved, tmp_path / 'other.pth')
    other = TorchBackend(cfg, weights=tmp_path / 'other.pth', device='cpu')
    images = toys.pictures(2, (70, 50))
    package = open_package(folder)
    with pytest.raises(NotEqualError, match='image 1: scores of the package differ by'):
        compare(other, package, images, tolerance=Tolerance())
    assert compare(other, package, images, tolerance=Tolerance(scores=0.1))['images']


def test_exception_nothing_is_left(
    classifier: tuple[toys.Toy, Path], tmp_path: Path
) -> None:
    (cfg, path), folder = classifier
    with pytest.raises(FileExistsError, match='holds something already'):
        export(cfg, folder, weights=path)
    changed = cfg.copy()
    pipeline = changed.test_dataloader.dataset.pipeline
    pipeline.insert(1, {'type': 'Pad', 'size_divisor': 8})
    out = tmp_path / 'out'
    for given, settings, match in (
        (changed, {}, 'not Pad; take it out'),
        (cfg, {'images': []}, r'images=\[\]: expected at least one'),
        (cfg, {'format': 'tflite'}, "format='tflite': expected one of onnx, openvino"),
        (cfg, {'threshold': {'rust': 1}}, "names the unknown class 'rust'"),
    ):
        with pytest.raises(ValueError, match=match):
            export(given, out, weights=path, **settings)
        assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        export(cfg, out, weights=path, images=tmp_path / 'none')


def slow_toys(folder: Path) -> dict[str, Any]:
    return {
        'detector': lambda: toys.detector(folder),
        'coreset': lambda: toys.anomaly(folder, 'coreset'),
        'iuf': lambda: toys.anomaly(folder, 'iuf'),
        'uniad': lambda: toys.anomaly(folder, 'uniad'),
        'pruned': lambda: toys.pruned(folder),
        'flat': lambda: toys.classifier(folder, flat=True),
        'plain head': lambda: toys.classifier(folder, type='LinearClsHead', num_classes=2),
    }


@pytest.mark.slow
@pytest.mark.parametrize('format', ['onnx', 'openvino'])
@pytest.mark.parametrize(
    'name', ['detector', 'coreset', 'iuf', 'uniad', 'pruned', 'flat', 'plain head']
)
def test_feature_all_tasks(name: str, format: str, tmp_path: Path) -> None:
    """Tracing a detector or a transformer takes 10 seconds and more."""
    torch.manual_seed(0)
    toy = slow_toys(tmp_path)[name]()
    sizes = [(96, 96), (150, 70), (60, 130)] if name != 'flat' else [(40, 32)]
    images = [image for size in sizes for image in toys.pictures(2, size, seed=3)]
    folder = export(
        toy[0], tmp_path / 'package', weights=toy[1], format=format, images=images
    )
    package = check_package(toy, folder, images)
    if name == 'detector':
        assert package.parity['detections'] > 5
        assert package.input.size is None
    else:
        assert package.input.size is not None
    assert package.graph.format == format
