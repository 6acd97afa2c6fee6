"""Packages run by ONNX Runtime and OpenVINO, on graphs written by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from mmdefect.apis.inferencer import DefectInferencer
from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput
from mmdefect.deploy.package import FILE
from mmdefect.deploy.runtime import PackageBackend, open_package
from tests.conftest import tool_env
from tests.helpers.hand_package import hand_package

BACKENDS = ('onnxruntime', 'openvino')


def flat(
    blue: int, green: int, red: int, size: tuple[int, int] = (8, 12)
) -> np.ndarray:
    """One colour; size is height and width."""
    return np.full((*size, 3), (blue, green, red), np.uint8)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


def opened(folder: Path, task: str, backend: str = 'auto', **spec) -> PackageBackend:
    hand_package(folder, task, **spec)
    return open_package(folder, backend=backend, threads=1)


def test_feature_labels(tmp_path: Path, backend: str) -> None:
    model = opened(tmp_path, 'labels', backend)
    assert model.name == backend
    images = [flat(255, 0, 0), flat(0, 0, 255, (30, 9)), flat(0, 255, 0)]
    found = model(images)
    for output, best in zip(found, (0, 2, 1), strict=True):
        assert isinstance(output, LabelOutput)
        e = np.exp(1)
        assert output.probabilities[best] == pytest.approx(e / (e + 2), abs=1e-6)
    assert model([]) == []


def test_feature_maps(tmp_path: Path, backend: str) -> None:
    image = flat(0, 0, 0, (40, 60))
    image[20:, 30:] = 255
    (found,) = opened(tmp_path, 'maps', backend)([image])
    assert isinstance(found, MapOutput)
    assert found.score == pytest.approx(1)
    assert found.product == 'bottle'
    assert found.anomaly_map.shape == (40, 60)
    assert found.anomaly_map[39, 59] == pytest.approx(1)
    assert found.anomaly_map[0, 0] == 0


def test_feature_products_are_recognised_or_told(tmp_path: Path, backend: str) -> None:
    """Black is a bottle to this graph, all else is none that it knows."""
    model = opened(tmp_path, 'routed', backend)
    images = [flat(0, 0, 0), flat(255, 0, 0), flat(0, 0, 0, (30, 9))]
    found = [(output.product, output.unknown) for output in model(images)]
    assert found == [('bottle', False), (None, True), ('bottle', False)]
    told = model.told('cable')
    assert [output.product for output in told(images)] == ['cable'] * 3
    assert not any(output.unknown for output in told(images))
    # The model itself still recognises.
    assert model(images[:1])[0].product == 'bottle'


def test_feature_inferencer_is_told_the_product(tmp_path: Path) -> None:
    alarms = {'bottle': {'text': '59 good images certify 5 % at 95 %'}}
    thresholds = {'bottle': 0.5}
    hand_package(tmp_path, 'routed', thresholds=thresholds, alarms=alarms)
    dark, bright = flat(0, 0, 0), flat(255, 255, 255)
    inspect = DefectInferencer(tmp_path)
    found = inspect.predict_one(dark)
    assert (found.decision, found.product, found.calibrated) == ('ok', 'bottle', True)
    assert found.to_dict()['note'] == '59 good images certify 5 % at 95 %'
    assert str(found) == 'array 0: ok, score 0, threshold 0.5, product bottle'
    found = inspect.predict_one(bright)
    assert (found.decision, found.product) == ('unknown product', None)
    assert found.threshold is None
    assert found.to_dict()['map']['regions'] == []
    assert 'unknown product' in str(found)
    assert found.draw().shape[2] == 3
    told = DefectInferencer(tmp_path, product='bottle')
    found = told.predict_one(bright)
    assert (found.decision, found.product) == ('defective', 'bottle')
    tiled = DefectInferencer(tmp_path, product='cable', tile={'size': 32})
    found = tiled.predict_one(np.zeros((64, 64, 3), np.uint8))
    assert (found.decision, found.product) == ('undecided', 'cable')
    with pytest.raises(ValueError, match="product names the unknown class 'lid'"):
        DefectInferencer(tmp_path, product='lid')


def test_feature_boxes(tmp_path: Path, backend: str) -> None:
    model = opened(tmp_path, 'boxes', backend)
    found, other = model([flat(51, 102, 0, (8, 64)), flat(0, 0, 255)])
    assert isinstance(found, BoxOutput)
    # Of the second box 102 / 255 and 0, of the first 51 / 255 and 102 / 255.
    assert found.scores.tolist() == pytest.approx([0.4, 0.4, 0.2])
    assert found.labels.tolist() == [1, 0, 0]
    # From 32 x 16 to 64 x 8, and cut at the border.
    assert found.boxes.tolist() == [[4, 2, 20, 6], [40, 2, 64, 8], [4, 2, 20, 6]]
    assert isinstance(other, BoxOutput)
    assert other.labels.tolist() == [1]


def test_feature_inferencer_moves_a_threshold(tmp_path: Path) -> None:
    hand_package(tmp_path, 'labels', defective='red', thresholds={'red': 0.5})
    image = flat(0, 0, 255)
    with_own = DefectInferencer(tmp_path)
    found = with_own.predict_one(image)
    assert (found.decision, found.name) == ('defective', 'red')
    moved = DefectInferencer(tmp_path, threshold=0.9).predict_one(image)
    assert (moved.decision, moved.threshold) == ('ok', 0.9)


def test_exception_settings(tmp_path: Path) -> None:
    hand_package(tmp_path, 'labels')
    for settings, match in (
        ({'backend': 'tensorrt'}, "backend='tensorrt': expected one of auto, onnx"),
        ({'device': 'tpu'}, "device='tpu': expected one of auto, cpu, cuda"),
        ({'device': 'cuda'}, "device='cuda': expected cpu, this onnxruntime"),
        ({'device': 'cuda', 'backend': 'openvino'}, 'expected cpu with openvino'),
        ({'device': None}, 'device=None: expected a name'),
        ({'device': 'cuda:x'}, "device='cuda:x': expected one of auto, cpu, cuda"),
        ({'threads': 0}, 'threads=0: expected at least 1'),
        ({'threads': 1.5}, r'threads=1\.5: expected a whole number'),
    ):
        with pytest.raises(ValueError, match=match):
            open_package(tmp_path, **settings)


def test_exception_no_graph(tmp_path: Path, backend: str) -> None:
    package = hand_package(tmp_path, 'labels')
    (tmp_path / 'model.onnx').write_bytes(b'no graph at all')
    package.save(tmp_path)
    with pytest.raises(
        ValueError, match=r'cannot read .*model\.onnx .*: expected a gr'
    ):
        open_package(tmp_path, backend=backend)


@pytest.mark.parametrize('task', ['boxes', 'maps', 'labels'])
def test_exception_numbers_that_are_none(tmp_path: Path, task: str) -> None:
    """No score of NaN is dropped on its way to a decision, nor is it ok."""
    model = opened(tmp_path, task, default_threshold=0.5)
    session = model.session

    def broken(batch: np.ndarray) -> list[np.ndarray]:
        outputs = [np.array(values) for values in session(batch)]
        outputs[0][1].flat[-1] = np.nan  # one number of the second image
        return outputs

    model.session = broken
    name = model.package.graph.outputs[0]
    with pytest.raises(ValueError, match=rf'NaN or infinite numbers \({name}\)'):
        model([flat(1, 2, 3), flat(1, 2, 3)])


@pytest.mark.parametrize(
    ('task', 'part', 'changes', 'match'),
    [
        ('boxes', None, {'classes': ['a']}, 'number of classes is 1: expected 2 as'),
        ('labels', None, {'classes': [*'abcd']}, 'classes is 4: expected 3 as in its'),
        ('boxes', 'graph', {'inputs': ['image']}, r"inputs is \['image'\]: expected"),
        (
            'boxes', 'graph',
            {'outputs': ['scores_0', 'boxes_0', 'scores_1', 'boxes_1']},
            r"graph\.outputs is .*: expected \['boxes_0', 'scores_0'\] as in its graph",
        ),
        (
            'labels', 'input', {'steps': [{'op': 'grey'}], 'mean': None, 'std': None},
            'channels of the input is 1: expected 3 as in its graph',
        ),
    ],
)  # fmt: skip
def test_exception_another_graph(
    tmp_path: Path, backend: str, task: str, part: str | None, changes: dict, match: str
) -> None:
    """What package.json says is compared with the graph's own word."""
    content = hand_package(tmp_path, task).to_dict()
    (content if part is None else content[part]).update(changes)
    (tmp_path / FILE).write_text(json.dumps(content), encoding='utf-8')
    with pytest.raises(ValueError, match=match) as raised:
        open_package(tmp_path, backend=backend)
    assert '\n' not in str(raised.value)


def test_exception_another_size(tmp_path: Path, backend: str) -> None:
    package = hand_package(tmp_path, 'labels')
    graph = onnx.load(tmp_path / 'model.onnx')
    sides = graph.graph.input[0].type.tensor_type.shape.dim
    sides[2].dim_value, sides[3].dim_value = 16, 32
    onnx.save(graph, tmp_path / 'model.onnx')
    package = package.save(tmp_path)
    assert open_package(tmp_path, backend=backend)([flat(1, 2, 3)])
    replace(package, input=replace(package.input, steps=(), size=None)).save(tmp_path)
    with pytest.raises(ValueError, match='height of the input is None: expected 16'):
        open_package(tmp_path, backend=backend)


SIGNALLED = """
import os, signal, sys, threading
from mmdefect.deploy.runtime import open_package

held = [open_package(sys.argv[1], backend='openvino')]
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
signal.signal(signal.SIGUSR1, lambda *_: print('alive'))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_feature_signals_after_openvino(tmp_path: Path) -> None:
    """Its last core takes the stack for signals with it, on processors with AMX."""
    folder = hand_package(tmp_path / 'package', 'labels').folder
    done = subprocess.run(
        [sys.executable, '-c', SIGNALLED, folder],
        env=tool_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == 'alive\n', done.returncode
