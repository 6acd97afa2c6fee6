"""The graph of a memory of products says what the model says, told or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.deploy.package import read_package
from mmdefect.deploy.postprocess import finish_map
from mmdefect.deploy.runtime import open_package
from mmdefect.export.graphs import exportable
from mmdefect.export.input_specs import input_spec
from mmdefect.export.int8 import Calibration, write_int8
from mmdefect.export.product_graph import ProductGraph
from mmdefect.export.triton import write_triton
from mmdefect.export.write import export
from mmdefect.models.anomaly.product_memory import learning
from tests.export.test_write import check_equal
from tests.helpers import exported_toys as toys

SETTINGS: dict[str, dict[str, Any]] = {
    'as it comes': {},
    'maximum': {'score': 'max'},
    'window': {'window': 1},
    'subspace': {'search': 'subspace', 'pca': 0.9},
    'gaussian': {'search': 'gaussian'},
    'plain': {'pca': None, 'whiten': None},
    'every image known': {'margin': None, 'hold_out': 0.0},
}

# Of these toys most patches are not above the alarm, whatever is shown.
NEVER_UNKNOWN = ('every image known', 'subspace', 'gaussian')


def images_of(number: int = 2) -> list[np.ndarray]:
    """Of all products, and of none."""
    found = [
        i for k in range(3) for i in toys.product_pictures(k, 10 + number)[-number:]
    ]
    return [*found, *toys.pictures(number, (48, 48), seed=7)]


@torch.no_grad()
@pytest.mark.parametrize('name', SETTINGS)
@pytest.mark.parametrize('even', [False, True])
def test_feature_equals_the_model(
    name: str, even: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Maps, scores and products; in a batch of several products."""
    # Places are made alike from 16 images on; ten are drawn.
    monkeypatch.setattr(learning, '_FEWEST_MAPS', 2 if even else 16)
    cfg, path = toys.memory(tmp_path, **SETTINGS[name])
    backend = TorchBackend(cfg, weights=path, device='cpu')
    assert all(len(bank.gain) == 36 * even for bank in backend.model.banks)
    images = images_of()
    spec = input_spec(backend.cfg, backend.model, 'maps')
    network = exportable(backend.model, 'maps')
    assert network.inputs == ('images', 'told')
    given = torch.from_numpy(np.stack([spec.prepare(i).pixels for i in images]))
    for told in (None, 'marble'):
        index = -1 if told is None else toys.PRODUCTS.index(told)
        view = backend if told is None else backend.told(told)
        found = network.module(given, torch.full((len(images),), index))
        maps, scores, products = (values.numpy() for values in found)
        sigma = network.postprocess['sigma']
        for number, expected in enumerate(view(images)):
            scale = expected.anomaly_map.max()
            ours = finish_map(maps[number], (48, 48), sigma)
            np.testing.assert_allclose(
                ours / scale, expected.anomaly_map / scale, atol=1e-5
            )
            assert scores[number] == pytest.approx(expected.score, rel=1e-5)
            known = -1 if expected.unknown else products[number]
            assert products[number] == known
            if not expected.unknown:
                assert toys.PRODUCTS[products[number]] == expected.product
        if told is None:
            assert products[:6].tolist() == [0, 0, 1, 1, 2, 2]
            assert (products[6:] == -1).all() == (name not in NEVER_UNKNOWN)
        else:
            assert products.tolist() == [1] * len(images)


def test_shape_banks_of_several_sizes(tmp_path: Path) -> None:
    """Filled up, and what fills them is never near."""
    cfg, path = toys.memory(tmp_path)
    model = TorchBackend(cfg, weights=path, device='cpu').model
    bank = model.banks[1]
    bank.fill({'vectors': bank.vectors[:7], 'places': bank.places[:7]})
    graph = ProductGraph(model)
    assert graph.vectors.shape[:2] == (3, len(model.banks[0].vectors))
    assert (graph.squares[1, 7:] > 1e29).all()
    assert (graph.squares[1, :7] < 1e29).all()


def test_feature_cost_does_not_grow_with_products(tmp_path: Path) -> None:
    """What is multiplied for an image hangs on one bank, whatever their number."""
    cfg, path = toys.memory(tmp_path)
    model = TorchBackend(cfg, weights=path, device='cpu').model
    graph = ProductGraph(model)
    product = torch.tensor([2])
    assert graph.vectors[product].shape[0] == 1
    patches = torch.rand(1, 36, 12)
    assert graph._distances(patches, product).shape == (1, 36)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['onnx', 'openvino'])
def test_feature_package(kind: str, tmp_path: Path) -> None:
    """To 1e-4, with ONNX Runtime and OpenVINO; alarms and products go with it."""
    pytest.importorskip('openvino' if kind == 'openvino' else 'onnxruntime')
    cfg, path = toys.memory(tmp_path)
    images = images_of()
    folder = export(cfg, tmp_path / 'package', weights=path, format=kind, images=images)
    package = read_package(folder)
    assert package.spec.routes
    assert package.graph.inputs == ('images', 'told')
    assert package.parity['largest_difference']['maps'] < 1e-4
    told = package.spec.alarms['wood']
    assert (told['number'], told['certified'], told['certifiable']) == (10, False, 1)
    assert '10 good images certify nothing' in told['text']
    assert told['text'] in (folder / 'README.md').read_text(encoding='utf-8')
    for product in (None, 'wood'):
        model = DefectInferencer(cfg, weights=path, product=product, device='cpu')
        ours = DefectInferencer(folder, product=product, batch_size=3)
        decided = set()
        for one, other in zip(model(images), ours(images), strict=True):
            check_equal(one, other)
            assert one.product == other.product
            assert one.to_dict().get('note') == other.to_dict().get('note')
            decided.add(other.decision)
        assert ('unknown product' in decided) == (product is None)


def test_exception(tmp_path: Path) -> None:
    cfg, path = toys.memory(tmp_path)
    model = TorchBackend(cfg, weights=path, device='cpu').model
    model.route = 'all'
    with pytest.raises(ValueError, match=r"model\.route='all': expected 'image' or"):
        ProductGraph(model)
    model.route = 'image'
    model.banks[1] = type(model.banks[1])()
    with pytest.raises(ValueError, match=r'products \[1\] are not learned: expected'):
        ProductGraph(model)


@pytest.mark.slow
def test_feature_int8_and_triton(tmp_path: Path) -> None:
    """Both heed the second input; the encoder alone is computed in integers."""
    cfg, path = toys.memory(tmp_path)
    images = images_of()[:6]
    folder = export(cfg, tmp_path / 'package', weights=path, images=images)
    for number, image in enumerate(images):
        assert cv2.imwrite(str(tmp_path / f'{number}.png'), image)
    given = read_package(folder)
    (tmp_path / 'int8').mkdir()
    batches = Calibration(given, str(tmp_path / '*.png'), most=6)
    write_int8(folder / 'model.onnx', tmp_path / 'int8/model.onnx', batches)
    graph = replace(given.graph, precision='int8')
    replace(given, graph=graph).save(tmp_path / 'int8')
    for one, other in zip(
        open_package(folder)(images),
        open_package(tmp_path / 'int8')(images),
        strict=True,
    ):
        assert one.product == other.product
        assert one.score == pytest.approx(other.score, rel=0.2)
    config = write_triton(folder, tmp_path / 'repository') / 'config.pbtxt'
    text = config.read_text(encoding='utf-8')
    for name in ('images', 'told', 'maps', 'scores', 'products'):
        assert f'name: "{name}"' in text
    assert text.count('TYPE_INT64') == 2
