"""A classifier is exported once in the fast tier; larger networks are slow."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

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
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import tool_env
from tests.deploy.test_without_torch import predict_without_torch
from tests.helpers import exported_toys as toys
from tests.helpers.hand_package import SUPPRESSION, hand_package
from tests.helpers.tiny_models import stream_of_boxes


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
    changed = copy.deepcopy(cfg)
    pipeline = changed.test_dataloader.dataset.pipeline
    pipeline.insert(1, {'type': 'Pad', 'size_divisor': 8})
    out = tmp_path / 'out'
    for given, settings, match in (
        (changed, {}, 'not Pad; take it out'),
        (cfg, {'images': iter(())}, 'images=<.*: expected at least one'),
        (cfg, {'format': 'tflite'}, "format='tflite': expected one of onnx, openvino"),
        (cfg, {'threshold': {'rust': 1}}, "names the unknown class 'rust'"),
    ):
        with pytest.raises(ValueError, match=match):
            export(given, out, weights=path, **settings)
        assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        export(cfg, out, weights=path, images=tmp_path / 'none')


FULL_DISK = """
import resource, sys
from pathlib import Path
from mmdefect.export.write import written_graph

limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
try:
    written_graph('openvino', Path(sys.argv[1]), ('images',), ('probabilities',))
except OSError as error:
    print(error)
"""


@pytest.mark.slow
def test_exception_openvino_on_a_full_disk(tmp_path: Path) -> None:
    """In a process of its own: the limit is one of all that a process writes."""
    folder = hand_package(tmp_path, 'labels').folder
    done = subprocess.run(
        [sys.executable, '-c', FULL_DISK, folder],
        env=tool_env(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert re.search(r"OpenVINO cannot .*: '.*/model\.xml'", done.stdout), done.stderr


@pytest.mark.slow
def test_feature_a_step_of_a_stream(tmp_path: Path) -> None:
    """Its own config is read; the images are drawn, as its data are gone."""
    work = stream_of_boxes(tmp_path)
    # Scores that are all 1 would be suppressed in any order.
    path = work / 'step_0/epoch_1.pth'
    saved = load_weights(path)
    saved['state_dict']['bbox_head.gfl_cls.weight'] *= 0.2
    torch.save(saved, path)
    folder = export(work, tmp_path / 'package', step=0)
    package = read_package(folder)
    assert package.spec.about['step'] == 0
    assert package.spec.about['checkpoint'] == 'step_0/epoch_1.pth'
    assert package.parity['source'].startswith('8 drawn images, without the test set')
    assert package.parity['detections'] > 5
    with pytest.raises(ValueError, match='step=7: expected'):
        export(work, tmp_path / 'other', step=7)


def toy_of(name: str, folder: Path) -> toys.Toy:
    if name in ('coreset', 'iuf', 'uniad'):
        return toys.anomaly(folder, name)
    if name == 'plain head':
        return toys.classifier(folder, type='LinearClsHead', num_classes=2)
    if name == 'flat':
        return toys.classifier(folder, flat=True)
    if name == 'pruned':
        return toys.pruned(folder)
    return toys.detector(folder, competing=name == 'competing')


# What images have in the graph; None: they keep their size.
SIZES = {
    'detector': None,
    'competing': None,
    'coreset': (128, 128),
    'iuf': (128, 128),
    'uniad': (128, 128),
    'pruned': None,
    'flat': (40, 32),
    'plain head': (40, 32),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'kind'),
    [
        *((name, 'onnx') for name in SIZES),
        ('detector', 'openvino'),
        ('iuf', 'openvino'),
    ],
)
def test_feature_all_tasks(name: str, kind: str, tmp_path: Path) -> None:
    """Tracing a detector or a transformer takes 10 seconds and more."""
    torch.manual_seed(0)
    toy = toy_of(name, tmp_path)
    sizes = [(96, 96), (150, 70), (60, 130)] if name != 'flat' else [(40, 32)]
    images = [image for size in sizes for image in toys.pictures(2, size, seed=3)]
    folder = export(
        toy[0], tmp_path / 'package', weights=toy[1], format=kind, images=images
    )
    package = check_package(toy, folder, images)
    assert package.input.size == SIZES[name]
    assert package.graph.format == kind
    if name in ('detector', 'competing'):
        more = {'suppress_across'} if name == 'competing' else set()
        assert package.postprocess.keys() == SUPPRESSION.keys() | more
        assert package.parity['detections'] > 5
    files = {path.name for path in folder.iterdir()}
    assert ('model.onnx' in files) == (kind == 'onnx')
    assert cv2.imwrite(str(tmp_path / 'image.png'), images[0])
    (found,) = predict_without_torch(folder, tmp_path / 'image.png')
    expected = DefectInferencer(toy[0], weights=toy[1], device='cpu')
    assert found['decision'] == expected.predict_one(images[0]).decision
