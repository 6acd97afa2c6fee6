"""What a package may be, and every way in which it is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from mmdefect.deploy.package import FILE, Package, is_package, read_package
from tests.helpers.hand_package import hand_package


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return hand_package(
        tmp_path / 'p', 'boxes', thresholds={'dent': 0.4}, about={'step': 1}
    )


def edit(package: Package, **changes: Any) -> Path:
    path = package.folder / FILE
    content = {**json.loads(path.read_text(encoding='utf-8')), **changes}
    content = {key: value for key, value in content.items() if value != 'DROP'}
    path.write_text(json.dumps(content), encoding='utf-8')
    return package.folder


def test_feature_round_trip(package: Package) -> None:
    read = read_package(package.folder)
    assert read.to_dict() == package.to_dict()
    assert read.spec.threshold_of('dent') == 0.4
    assert read.input == package.input
    assert list(json.loads((package.folder / FILE).read_text())) == [
        'format_version', 'task', 'classes', 'defective', 'thresholds',
        'default_threshold', 'calibrated', 'routes', 'alarms', 'input', 'graph',
        'postprocess', 'about', 'parity',
    ]  # fmt: skip
    assert is_package(package.folder)
    assert not is_package(package.folder.parent)


def test_feature_of_an_earlier_version(package: Package) -> None:
    """It says nothing of alarms and routing: there are none."""
    spec = read_package(edit(package, routes='DROP', alarms='DROP')).spec
    assert (spec.routes, spec.alarms) == (False, {})


def test_feature_alarms(tmp_path: Path) -> None:
    alarms = {'bottle': {'rate': 0.05, 'certified': True, 'text': '59 images'}}
    written = hand_package(tmp_path, 'routed', alarms=alarms)
    spec = read_package(tmp_path).spec
    assert (spec.routes, spec.alarms) == (True, alarms)
    assert spec.evidence_of('bottle') == '59 images'
    assert spec.evidence_of('cable') is spec.evidence_of(None) is None
    with pytest.raises(ValueError, match=r"alarms\['bottle'\]\.text=None: expected"):
        read_package(edit(written, alarms={'bottle': {}}))
    with pytest.raises(ValueError, match="alarms names the unknown class 'lid'"):
        read_package(edit(written, alarms={'lid': {'text': 'x'}}))
    with pytest.raises(ValueError, match=r'graph\.inputs=.*: expected one'):
        read_package(edit(written, alarms={}, routes=False))


def test_feature_thresholds_can_be_edited(package: Package) -> None:
    folder = edit(package, thresholds={'dent': 0.9, 'crack': 0.2})
    assert read_package(folder).spec.threshold_of('crack') == 0.2


def test_feature_saved_elsewhere_hashes_anew(package: Package, tmp_path: Path) -> None:
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'model.onnx').write_bytes(b'another graph')
    saved = package.save(other)
    assert saved.graph.sha256 != package.graph.sha256
    assert read_package(other).graph == saved.graph


def test_exception_none(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / 'absent'):
        with pytest.raises(
            FileNotFoundError, match=r'holds no package\.json: expected'
        ):
            read_package(folder)
    (tmp_path / FILE).write_text('[]', encoding='utf-8')
    with pytest.raises(ValueError, match='holds a list: expected a description'):
        read_package(tmp_path)


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        (
            {'format_version': 2},
            r'format_version=2: expected at most 1, .*update mmdef',
        ),
        ({'format_version': None}, 'format_version=null: expected a package that'),
        ({'format_version': True}, 'format_version=True: expected a package that'),
        ({'classes': 'DROP', 'graph': 'DROP'}, 'lacks classes, graph: expected all'),
        ({'task': 'masks'}, "task='masks': expected one of boxes, maps, labels"),
        ({'thresholds': {'rust': 0.1}}, "names the unknown class 'rust'"),
        ({'input': {'side': 3}}, 'is not as an export wrote it'),
        ({'graph': {'format': 'onnx'}}, 'is not as an export wrote it'),
        ({'graph': None}, 'is not as an export wrote it'),
        (
            {'classes': 'dent', 'thresholds': {}},
            "classes='dent': expected a list of different names",
        ),
        ({'thresholds': {'dent': '0.4'}}, 'is not as an export wrote it'),
        ({'thresholds': {'dent': float('nan')}}, r"thresholds\['dent'\]=nan: expected"),
        ({'default_threshold': float('nan')}, 'default_threshold=nan: expected a fin'),
        ({'default_threshold': 1.5}, r'=1\.5: expected at least 0 and at most 1'),
        (
            {'thresholds': {'dent': 10**400}},
            r"\['dent'\]=10*: expected a finite number",
        ),
        ({'thresholds': {'dent': -1}}, r'=-1: expected at least 0 and at most 1'),
        ({'thresholds': None}, 'thresholds=None: expected an object'),
        ({'classes': ['dent', 'dent']}, 'expected a list of different names'),
        ({'classes': ['dent', ' ']}, 'expected a list of different names'),
        ({'classes': []}, 'expected a list of different names'),
        ({'calibrated': 'yes'}, "calibrated='yes': expected true or false"),
        ({'about': {'calibration': {'tile': 5}}}, 'is not as an export wrote it'),
        ({'defective': 'rust'}, "defective='rust': expected one of dent, crack"),
        ({'task': 'maps'}, 'graph.outputs lack maps, scores of maps'),
        (
            {'postprocess': {'nms_pre': 3}},
            r'postprocess\.score_threshold is missing',
        ),
    ],
)
def test_exception_content(package: Package, changes: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match) as raised:
        read_package(edit(package, **changes))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('path', 'value', 'match'),
    [
        ('graph.inputs', [], 'expected a list of different names'),
        ('graph.inputs', ['a', 'b'], 'expected one'),
        ('graph.outputs', ['scores_0', 'boxes_0', 'a', 'b'], 'lack boxes_1, scores_1'),
        ('graph.sha256', None, 'expected text'),
        ('graph.file', 5, 'expected text'),
        ('graph.file', '..', 'expected a name without folders'),
        ('graph.format', 'openvino', r'expected one of \.xml for openvino'),
        ('graph.weights', {'file': 'a'}, r'graph\.weights\.sha256 is missing'),
        ('graph.weights', [], r'graph\.weights=\[\]: expected an object'),
        ('input.mean', [0, float('nan'), 0], 'input.mean=nan: expected a finite num'),
        ('input.mean', [0, 0], 'expected 3, one a channel'),
        ('input.std', [1, 0, 1], 'input.std=0: expected more than 0'),
        ('input.std', [1, float('inf'), 1], 'input.std=inf: expected a finite number'),
        ('input.pad_divisor', 1.5, r'input\.pad_divisor=1\.5: expected a whole'),
        ('input.pad_value', '0', "input.pad_value='0': expected a finite number"),
        ('input.size', [32], 'expected width and height'),
        ('input.size', [32, True], 'input.size=True: expected a whole number'),
        ('input.size', [64, 16], r'expected \(32, 16\), as by its steps'),
        ('postprocess.iou_threshold', float('nan'), 'expected a finite number'),
        ('postprocess.score_threshold', 2, 'expected at least 0 and at most 1'),
        ('postprocess.max_per_image', 0, 'expected at least 1, or -1 for all'),
        ('postprocess.max_per_image', 1.5, 'expected a whole number'),
        ('postprocess.class_agnostic', 'no', 'expected true or false'),
        ('postprocess.min_box_size', None, 'expected a finite number'),
        ('postprocess.suppress_across', 1.5, 'expected at least 0 and at most 1'),
    ],
)
def test_exception_entry(package: Package, path: str, value: Any, match: str) -> None:
    group, _, key = path.partition('.')
    changed = {**package.to_dict()[group], key: value}
    with pytest.raises(ValueError, match=match) as raised:
        read_package(edit(package, **{group: changed}))
    assert 'is not as an export wrote it' in str(raised.value)
    assert '\n' not in str(raised.value)


def test_exception_graph(package: Package) -> None:
    graph = {**package.to_dict()['graph'], 'file': '../model.onnx'}
    with pytest.raises(ValueError, match='expected a name without folders'):
        read_package(edit(package, graph=graph))
    edit(package, graph=package.to_dict()['graph'])
    path = package.folder / 'model.onnx'
    path.write_bytes(path.read_bytes() + b' ')
    with pytest.raises(
        ValueError, match=r'model\.onnx has changed since it was export'
    ):
        read_package(package.folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match='expected the graph that package'):
        read_package(package.folder)


def test_exception_second_file(package: Package) -> None:
    """OpenVINO keeps its weights beside the graph."""
    weights = package.folder / 'model.bin'
    weights.write_bytes(b'1')
    (package.folder / 'model.onnx').rename(package.folder / 'model.xml')
    second = {'file': 'model.bin', 'sha256': ''}
    graph = replace(package.graph, format='openvino', file='model.xml', weights=second)
    replace(package, graph=graph).save(package.folder)
    assert read_package(package.folder).graph.weights is not None
    weights.write_bytes(b'2')
    with pytest.raises(ValueError, match=r'model\.bin has changed'):
        read_package(package.folder)


def test_exception_weights_beside_the_graph(package: Package) -> None:
    """Their hash is not known: another file would change all results."""
    path = package.folder / 'model.onnx'
    model = onnx.load(path)
    onnx.save(
        model, path, save_as_external_data=True, location='w.bin', size_threshold=0
    )
    assert (package.folder / 'w.bin').is_file()
    with pytest.raises(ValueError, match='keeps weights in a file beside it'):
        read_package(package.save(package.folder).folder)


def test_feature_a_value_that_is_called_location(package: Package) -> None:
    path = package.folder / 'model.onnx'
    model = onnx.load(path)
    named = onnx.helper.make_tensor_value_info('location', onnx.TensorProto.FLOAT, [1])
    model.graph.value_info.append(named)
    onnx.save(model, path)
    assert read_package(package.save(package.folder).folder)
