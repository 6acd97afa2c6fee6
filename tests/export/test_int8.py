"""Quantising a package, and when that is refused. No test depends on a time."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mmdefect.deploy.package import read_package
from mmdefect.deploy.runtime import open_package
from mmdefect.export.int8 import Calibration, Figures, in_integers, quantise
from tests.export.test_accuracy import paint_colours
from tests.helpers.hand_package import hand_package

WIDTH = 8


def layers(outputs: str = 'probabilities') -> Any:
    """Two convolutions, each channel of the image by itself; then mean and softmax."""
    random = np.random.default_rng(0)
    first = np.zeros((WIDTH, 3, 3, 3), np.float32)
    for channel in range(3):
        first[channel, channel] = random.uniform(0.5, 1.5, (3, 3)) / 9
    second = np.eye(WIDTH, dtype=np.float32)[..., None, None]
    last = 12 * np.eye(WIDTH, 3, dtype=np.float32)
    constants = {
        'first': first,
        'second': second,
        'last': last,
        'axes': np.array([2, 3]),
    }
    nodes = [
        helper.make_node('Conv', ['images', 'first'], ['a'], pads=[1, 1, 1, 1]),
        helper.make_node('Relu', ['a'], ['b'], name='relu'),
        helper.make_node('Conv', ['b', 'second'], ['c']),
        helper.make_node('Add', ['c', 'b'], ['d']),
        helper.make_node('ReduceMean', ['d', 'axes'], ['e'], keepdims=0),
        helper.make_node('MatMul', ['e', 'last'], ['logits']),
        helper.make_node('Softmax', ['logits'], [outputs], axis=1),
    ]
    images = helper.make_tensor_value_info(
        'images', TensorProto.FLOAT, ['batch', 3, 'height', 'width']
    )
    made = helper.make_tensor_value_info(outputs, TensorProto.FLOAT, ['batch', 3])
    given = [numpy_helper.from_array(v, name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, 'layers', [images], [made], given)
    opset = [helper.make_opsetid('', 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


@pytest.fixture(scope='module')
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('float') / 'package'
    made = hand_package(folder, 'labels')
    onnx.save(layers(), folder / 'model.onnx')
    replace(made, parity={'source': 'nothing'}).save(folder)
    paint_colours(folder.parent / 'images')
    return folder


def run(package: Path, out: Path, **settings: Any) -> Path:
    images = package.parent / 'images'
    settings = {'calibration': images, 'labelled': images, 'rounds': 2, **settings}
    return quantise(package, out, **settings)


def integers(path: Path) -> int:
    """How many tensors of a graph are made of whole numbers."""
    return sum(n.op_type == 'QuantizeLinear' for n in onnx.load(path).graph.node)


def test_feature_no_sum_overflows(package: Path, tmp_path: Path) -> None:
    """Of two products, in 16 bits, as processors without VNNI add them up."""
    out = run(package, tmp_path / 'int8', least_gain=0)
    found = map(numpy_helper.to_array, onnx.load(out / 'model.onnx').graph.initializer)
    largest = [np.abs(one.astype(int)).max() for one in found if one.dtype == np.int8]
    assert len(largest) > 1
    assert 2 * 255 * max(largest) < 2**15
    assert max(largest) > 32


def test_feature_a_package_of_int8(package: Path, tmp_path: Path) -> None:
    out = run(package, tmp_path / 'int8', least_gain=0)
    assert {path.name for path in out.iterdir()} == {
        'README.md',
        'model.onnx',
        'package.json',
    }
    made, before = read_package(out), read_package(package)
    assert made.graph.precision == 'int8'
    assert made.spec == before.spec
    assert integers(out / 'model.onnx') > 1
    found = made.parity['int8']
    assert (found['measure'], found['images']) == ('accuracy at the threshold', 6)
    assert found['float32'] == found['int8'] == 1.0
    assert found['calibrated_on'] == 6
    assert found['gain'] > 0
    assert made.parity['float32'] == {'source': 'nothing'}
    card = (out / 'README.md').read_text(encoding='utf-8')
    assert '100.00 % in int8, 100.00 % in float32' in card
    assert f'{found["int8_ms"]:.2f} ms' in card
    image = cv2.imread(str(package.parent / 'images/red/0.png'))
    ours, theirs = (
        open_package(folder, backend='onnxruntime')([image])[0].probabilities
        for folder in (out, package)
    )
    np.testing.assert_allclose(ours, theirs, atol=0.05)
    assert not np.array_equal(ours, theirs)


@pytest.fixture(scope='module')
def openvino() -> Any:
    """Imported before a test is timed."""
    return pytest.importorskip('openvino')


def test_feature_openvino(package: Path, tmp_path: Path, openvino: Any) -> None:
    out = run(package, tmp_path / 'int8', least_gain=0, format='openvino')
    assert sorted(path.name for path in out.iterdir()) == [
        'README.md', 'model.bin', 'model.xml', 'package.json'
    ]  # fmt: skip
    assert '"i8"' in (out / 'model.xml').read_text(encoding='utf-8')
    assert read_package(out).parity['int8']['runtime'] == 'openvino'


def test_exception_slower_or_less_right(package: Path, tmp_path: Path) -> None:
    """Nothing is left behind; both figures are said."""
    out = tmp_path / 'int8'
    gain = r'int8 is \d+\.\d\dx as fast .* falls by 0\.00 points .* at least 1000x'
    with pytest.raises(ValueError, match=gain):
        run(package, out, least_gain=1000)
    # Of dark images only: every colour is beyond the range, and alike.
    dark = np.full((24, 40, 3), 5, np.uint8)
    loss = r'falls by \d\d\.\d\d points .* at most 0\.5 points; use the float32'
    with pytest.raises(ValueError, match=loss):
        run(package, out, least_gain=0, calibration=dark)
    assert list(tmp_path.iterdir()) == []


def test_exception_images_and_packages(package: Path, tmp_path: Path) -> None:
    out, broken = tmp_path / 'out', tmp_path / 'broken'
    shutil.copytree(package.parent / 'images/red', broken)
    (broken / '0.png').write_bytes(b'none')
    with pytest.raises(ValueError, match=r'cannot read the image .*0\.png'):
        run(package, out, calibration=broken)
    with pytest.raises(ValueError, match=r'format=.tensorrt.: expected one of onnx'):
        run(package, out, format='tensorrt')
    hand_package(tmp_path / 'plain', 'labels')
    with pytest.raises(ValueError, match='expected a convolution, or linear layers'):
        run(tmp_path / 'plain', out, **dict.fromkeys(IMAGES, package.parent / 'images'))
    made = read_package(tmp_path / 'plain')
    replace(made, graph=replace(made.graph, precision='int8')).save(made.folder)
    with pytest.raises(ValueError, match='holds int8 for onnx: expected float32'):
        run(tmp_path / 'plain', out)
    assert not out.exists()
    assert not list(tmp_path.glob('*.part'))


IMAGES = ('calibration', 'labelled')


def test_feature_calibration_is_spread(package: Path) -> None:
    """Two of six images: of the first and of the last colour but one."""
    images = package.parent / 'images'
    batches = Calibration(read_package(package), images, most=2)
    seen = []
    while (batch := batches.get_next()) is not None:
        seen.append(batch['images'][0].argmax(0).max())
    assert seen == [0, 1]
    assert batches.seen == 2


def test_feature_what_is_quantised() -> None:
    """Up to the last layer with weights, which stays as it is, and what follows."""
    graph = layers().graph
    chosen = in_integers(graph)
    kinds = {node.name: node.op_type for node in graph.node}
    assert [kinds[name] for name in chosen] == ['Conv', 'Relu', 'Conv', 'Add']
    assert len(kinds) == len(graph.node)
    assert 'relu' in chosen


@pytest.mark.parametrize(
    ('int8', 'said'),
    [
        (0.9027, 'AP50 on 30 images rises by 0.27 points (90.27 against 90.00 %)'),
        (0.9, 'falls by 0.00 points'),
        (0.88, 'falls by 2.00 points'),
    ],
)
def test_feature_what_is_said_of_the_accuracy(int8: float, said: str) -> None:
    found = Figures(
        measure='AP50',
        images=30,
        float32=0.9,
        int8=int8,
        float32_ms=3.0,
        int8_ms=2.0,
        gain=1.5,
        runtime='onnxruntime',
        calibrated_on=6,
    )
    assert said in str(found)
