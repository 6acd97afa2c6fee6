"""Commands that only pass on: what is typed reaches the function that does it.

What these functions do is tested where they are. Here others stand in their places, so
that none loads torch; their parameters are read from the sources.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmdefect.cli.main import main
from mmdefect.serving.settings import ServerSettings
from tests.conftest import REPO
from tests.helpers.hand_package import hand_package

SETTINGS = {field.name for field in fields(ServerSettings)}


def parameters(module: str, function: str) -> set[str]:
    path = REPO / f'{module.replace(".", "/")}.py'
    tree = ast.parse(path.read_text(encoding='utf-8'))
    (found,) = (
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    known = {one.arg for one in (*found.args.args, *found.args.kwonlyargs)}
    return known | ({*SETTINGS} if found.args.kwarg else set())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What each function was given; relative paths start in an empty folder."""
    made: dict[str, Any] = {}

    def put(module: str, name: str, result: Any) -> None:
        known = parameters(module, name)
        order = ('package', 'out') if name in ('quantise', 'write_triton') else ()
        order = order or ('packages',) if name == 'run' else order or ('model', 'out')

        def stand_in(*given: Any, **named: Any) -> Any:
            made[name] = {**dict(zip(order, given, strict=False)), **named}
            assert made[name].keys() <= known
            return result(made[name]) if callable(result) else result

        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{name: stand_in}))

    put('mmdefect.apis.calibrate', 'calibrate', 'scratch 0.31\nwrote x.pth')
    put('mmdefect.serving.server', 'run', 2)
    for module, name in {
        'write': 'export',
        'int8': 'quantise',
        'triton': 'write_triton',
    }.items():
        put(f'mmdefect.export.{module}', name, lambda given: Path(given['out']))
    monkeypatch.chdir(tmp_path)
    return made


def test_feature_calibrate(
    calls: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = 'calibrate work --step 1 --images val --annotations a.json --costs 10 1'
    assert main([*words.split(), '--tile', '512,64']) == 0
    assert capsys.readouterr().out == 'scratch 0.31\nwrote x.pth\n'
    given = calls['calibrate']
    assert (given['model'], given['step'], given['costs']) == ('work', 1, [10.0, 1.0])
    assert (given['images'], given['annotations']) == (Path('val'), Path('a.json'))
    assert given['tile'] == dict(size=512, overlap=64)


def test_exception_calibrate_a_package(
    calls: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'steel').mkdir()
    (tmp_path / 'steel/package.json').touch()
    assert main(['calibrate', 'steel', '--images', 'val']) == 1
    assert 'steel: expected a work dir or a config' in capsys.readouterr().err
    assert not calls


def test_feature_serve(calls: dict[str, Any], tmp_path: Path) -> None:
    """The token is read from a file; the exit status is the server's."""
    (tmp_path / 'token').write_text('secret\n', encoding='utf-8')
    words = 'serve a b --port 0 --host 0.0.0.0 --token-file token --queue 3 --bits 12'
    assert main(words.split()) == 2
    given = calls['run']
    assert given['packages'] == ['a', 'b']
    assert (given['token'], given['host'], given['port']) == ('secret', '0.0.0.0', 0)
    assert (given['queue'], given['bits'], given.get('concurrency')) == (3, 12, None)


def test_exception_no_token(
    calls: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'token').write_text('\n', encoding='utf-8')
    assert main(['serve', 'a', '--token-file', 'token']) == 1
    assert 'expected a token, the file is empty' in capsys.readouterr().err
    assert not calls


def test_feature_export(
    calls: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    words = 'export work my_out --step 2 --format openvino --threshold dent=0.4'
    assert main(words.split()) == 0
    given = calls['export']
    assert (given['model'], given['out']) == ('work', Path('my_out'))
    assert (given['step'], given['format']) == (2, 'openvino')
    assert given['threshold'] == {'dent': 0.4}
    said = capsys.readouterr().out
    assert said == 'wrote my_out\nnext: mmdefect predict my_out IMAGES\n'


def test_feature_int8(calls: dict[str, Any], tmp_path: Path) -> None:
    """Out of a trained model by way of a package in ONNX, which does not stay."""
    words = 'export work sub/out --int8 --calibration c --labelled l --format openvino'
    assert main(words.split()) == 0
    assert calls['export']['format'] == 'onnx'
    given = calls['quantise']
    assert given['package'] == calls['export']['out'] != Path('sub/out')
    assert (given['out'], given['format']) == (Path('sub/out'), 'openvino')
    assert (given['calibration'], given['labelled']) == (Path('c'), Path('l'))
    assert not [*(tmp_path / 'sub').iterdir()]


def test_feature_triton(calls: dict[str, Any], tmp_path: Path) -> None:
    """Of a package at once, of both together; the model has the package's name."""
    hand_package(tmp_path / 'bottles', 'labels')
    assert main(['export', 'bottles', 'repository', '--layout', 'triton']) == 0
    assert 'export' not in calls
    assert calls['write_triton'] == dict(
        package=Path('bottles'), out=Path('repository'), name='bottles'
    )
    words = 'export bottles repository --layout triton --int8'
    assert main([*words.split(), '--calibration', 'c', '--labelled', 'l']) == 0
    assert calls['write_triton']['package'] == calls['quantise']['out']


def test_feature_what_a_kill_has_left(calls: dict[str, Any], tmp_path: Path) -> None:
    """The same command replaces it."""
    left = tmp_path / 'out.work.export'
    (left / 'draft/package').mkdir(parents=True)
    (left / '.mmdefect-draft').touch()
    assert main(['export', 'work', 'out', '--layout', 'triton']) == 0
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        ('work out --int8 --labelled l', '--int8: expected --calibration as well'),
        ('work out --calibration c', '--calibration c: expected --int8 as well'),
        ('work out --labelled-images c', '--labelled-images c: expected --int8'),
        ('work out --layout triton --format openvino', 'expected onnx with --layout'),
        ('package out', 'package is a package already: expected a work dir'),
        (
            'package out --int8 --calibration c --labelled l --step 1',
            '--step: expected',
        ),
    ],
)
def test_exception_export(
    words: str,
    said: str,
    calls: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hand_package(tmp_path / 'package', 'labels')
    assert main(['export', *words.split()]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count('\n') == 1
    assert not calls


def test_exception_export_without_torch(
    calls: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr('mmdefect.compat.find_spec', lambda name: None)
    assert main(['export', 'work', 'out']) == 1
    assert 'torch is not installed' in capsys.readouterr().err
    assert not calls


def test_feature_export_says_what_was_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parity = {
        'source': '3 images that were given',
        'runtime': 'onnxruntime',
        'detections': 0,
        'largest_difference': {'scores': 0.0, 'boxes': 0.0},
        'tolerance': {'scores': 1e-4, 'boxes': 0.1, 'maps': 1e-4},
    }

    def write(model: str, out: Path, **settings: Any) -> Path:
        return replace(hand_package(out, 'boxes'), parity=parity).save(out).folder

    written = SimpleNamespace(export=write)
    monkeypatch.setitem(sys.modules, 'mmdefect.export.write', written)
    out = tmp_path / 'out'
    assert main(['export', 'work', str(out)]) == 0
    _, compared, warned, _ = capsys.readouterr().out.splitlines()
    assert compared.startswith('On 3 images that were given, with onnxruntime, 0 boxes')
    assert warned.startswith('WARNING: on these images neither model nor package')
