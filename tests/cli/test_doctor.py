"""``mmdefect doctor``: the right diagnosis of made-up facts, and of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from mmdefect.cli import data_sets, doctor, facts, findings
from mmdefect.cli.findings import Finding
from mmdefect.cli.main import main
from tests.conftest import tool_env

ONEDL = {
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmpretrain': '1.3.6',
}
HEALTHY = {
    **ONEDL,
    'torch': '2.11.0',
    'torchvision': '0.26.0',
    'opencv-python': '4.12.0.88',
    'numpy': '2.2.6',
    'onnxruntime': '1.32.0',
    'openvino': '2026.4.1',
}
EDGE = {
    'opencv-python-headless': '4.12.0.88',
    'numpy': '2.2.6',
    'onnxruntime': '1.32.0',
}
IMPORTS = dict.fromkeys((*facts.IMPORTED, 'torch sees a GPU'))


@pytest.fixture
def diagnose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Exit status and findings, by name, of a machine that is made up."""
    machine = {
        'installed': HEALTHY,
        'tried_imports': IMPORTS,
        'gpus': (None, None),
        'compiled_operators': None,
        'shared_memory': 8 * 2**30,
        'cores': 4,
    }
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)

    def run(**changed: Any) -> tuple[int, dict[str, Finding]]:
        for name, value in {**machine, **changed}.items():
            if name == 'write_error':
                monkeypatch.setattr(facts, name, lambda folder, value=value: value)
            else:
                monkeypatch.setattr(facts, name, lambda value=value: value)
        monkeypatch.setattr('shutil.disk_usage', lambda path: _Usage())
        status = main(['doctor', '--json'])
        found = [Finding(**one) for one in json.loads(capsys.readouterr().out)]
        return status, {one.name: one for one in found}

    return run


class _Usage:
    total = free = 50 * 2**30


def wrong(found: dict[str, Finding]) -> dict[str, str]:
    return {name: one.state for name, one in found.items() if one.state != 'ok'}


def test_smoke_healthy(diagnose: Any) -> None:
    status, found = diagnose()
    assert (status, wrong(found)) == (0, {})
    assert found['OpenMMLab'].text == ', '.join(f'{k} {v}' for k, v in ONEDL.items())
    assert found['operators of mmcv'].text.startswith('stand-in')
    assert found['threads'].text == 'OMP_NUM_THREADS=, 4 cores'


def test_feature_no_torch(diagnose: Any) -> None:
    """Broken with OpenMMLab; an edge box needs none."""
    versions = {k: v for k, v in HEALTHY.items() if 'torch' not in k}
    status, found = diagnose(installed=versions)
    assert (status, wrong(found)) == (1, {'torch': 'broken'})
    assert found['torch'].cure == 'pip install "mmdefect[torch]"'
    status, found = diagnose(installed=EDGE)
    assert (status, wrong(found)) == (0, {'OpenMMLab': 'warning'})
    assert 'only packages of `mmdefect export` can be run' in found['OpenMMLab'].text
    assert 'pip install "mmdefect[onedl]"' in found['OpenMMLab'].cure


def test_feature_nothing_that_computes(diagnose: Any) -> None:
    status, found = diagnose(installed={'numpy': '2.2.6'})
    assert status == 1
    assert wrong(found) == {'OpenMMLab': 'broken', 'OpenCV': 'broken'}
    assert 'no model can be run' in found['OpenMMLab'].text


def test_feature_two_providers(diagnose: Any) -> None:
    status, found = diagnose(installed={**HEALTHY, 'mmcv': '2.1.0'})
    assert (status, wrong(found)) == (1, {'OpenMMLab': 'broken'})
    assert found['OpenMMLab'].text.startswith('two builds, one over the other')
    assert found['OpenMMLab'].cure == (
        f'pip uninstall -y {" ".join(ONEDL)} mmcv, then pip install "mmdefect[onedl]"'
    )


@pytest.mark.parametrize(
    ('missing', 'state'),
    [('onedl-mmdetection', 'broken'), ('onedl-mmpretrain', 'warning')],
)
def test_feature_half_a_provider(diagnose: Any, missing: str, state: str) -> None:
    versions = {k: v for k, v in HEALTHY.items() if k != missing}
    _, found = diagnose(installed=versions)
    assert wrong(found) == {'OpenMMLab': state}
    assert 'without mm' in found['OpenMMLab'].text


def test_feature_opencv_twice(diagnose: Any) -> None:
    """Of one version it works; of two, one has overwritten files of the other."""
    twice = {**HEALTHY, 'opencv-python-headless': '4.12.0.88'}
    status, found = diagnose(installed=twice)
    assert (status, wrong(found)) == (0, {})
    assert ' and ' in found['OpenCV'].text
    twice['opencv-python-headless'] = '4.11.0.86'
    status, found = diagnose(installed=twice)
    assert (status, wrong(found)) == (1, {'OpenCV': 'broken'})
    assert found['OpenCV'].cure == (
        'pip uninstall -y opencv-python opencv-python-headless, then '
        'pip install opencv-python==4.12.0.88'
    )


def test_feature_no_libgl(diagnose: Any) -> None:
    error = 'ImportError: libGL.so.1: cannot open shared object file'
    status, found = diagnose(tried_imports={**IMPORTS, 'cv2': error})
    assert (status, wrong(found)) == (1, {'OpenCV': 'broken'})
    assert 'apt-get install libgl1' in found['OpenCV'].cure


def test_feature_no_write_permission(diagnose: Any) -> None:
    status, found = diagnose(write_error='Permission denied')
    assert (status, wrong(found)) == (1, {'working folder': 'broken'})
    assert found['working folder'].text.endswith(': Permission denied')


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_feature_a_folder_that_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert facts.write_error(tmp_path) == 'Permission denied'


def test_feature_write_error(tmp_path: Path) -> None:
    """Nothing is left behind."""
    assert facts.write_error(tmp_path) is None
    assert not [*tmp_path.iterdir()]
    assert facts.write_error(tmp_path / 'none') == 'No such file or directory'


@pytest.mark.parametrize(
    ('found', 'state', 'cure'),
    [
        (findings.python((3, 13, 0)), 'warning', 'use Python 3.10'),
        (findings.numpy({}), 'broken', 'pip install numpy'),
        (findings.numpy({'numpy': '1.26.4'}), 'warning', 'numpy>=2,<3'),
        (findings.disk(2**28, '.'), 'broken', 'free some space'),
        (findings.disk(2**31, '.'), 'warning', 'free some space'),
        (findings.shared_memory(64 * 2**20), 'warning', '--shm-size'),
        (findings.shared_memory(None), 'ok', ''),
        (findings.threads('8', 4), 'warning', 'OMP_NUM_THREADS=4'),
        (findings.threads('all', 4), 'broken', 'OMP_NUM_THREADS=4'),
        (findings.threads('4,2', 4), 'ok', ''),
        (findings.gpu(['T4'], torch_sees=False), 'warning', 'build of torch'),
        (findings.gpu(['T4'], torch_sees=None), 'ok', ''),
        (
            findings.gpu(None, torch_sees=None, problem='version mismatch'),
            'warning',
            'restart',
        ),
        (
            findings.torch(HEALTHY, error='OSError: libcudart'),
            'broken',
            'pip install "mmdefect[torch]"',
        ),
        (findings.torch({'torch': '2'}), 'broken', 'mmdefect[torch]'),
        (findings.operators({'mmcv': '2'}, '/_ext.so'), 'ok', ''),
    ],
)
def test_feature_findings(found: Finding, state: str, cure: str) -> None:
    assert found.state == state
    assert cure in found.cure


def test_feature_runtimes_twice_or_broken() -> None:
    both = {'onnxruntime': '1.32', 'onnxruntime-gpu': '1.32'}
    assert findings.runtimes(both, {})[0].state == 'broken'
    error = {'onnxruntime': 'ImportError: x', 'openvino': 'ImportError: y'}
    states = [one.state for one in findings.runtimes(HEALTHY, error)]
    assert states == ['broken', 'broken']
    again = findings.numpy(HEALTHY, error='ImportError: x')
    assert again.cure == 'pip install --force-reinstall --no-deps numpy==2.2.6'


def test_feature_data_sets(tmp_path: Path) -> None:
    """Present and sound, without a file, with one that cannot be read."""
    assert [one.text for one in data_sets.look(tmp_path)] == [
        f'none of the public ones in {tmp_path}'
    ]
    good = {'images': [{'id': 1}], 'annotations': [], 'categories': []}
    for name, texts in {
        'NEU-DET': [json.dumps(good)] * 2,
        'DeepPCB': [json.dumps(good), '{"images": '],
        'casting_data': [],
    }.items():
        (tmp_path / name / 'coco').mkdir(parents=True)
        for split, text in zip(('train', 'test'), texts, strict=False):
            path = tmp_path / name / 'coco' / f'{split}.json'
            path.write_text(text, encoding='utf-8')
    found = {one.name: one for one in data_sets.look(tmp_path)}
    assert {name.split()[2]: one.state for name, one in found.items()} == {
        'NEU-DET': 'ok',
        'DeepPCB': 'broken',
        'casting': 'warning',
    }
    assert found['data set NEU-DET'].text.endswith(
        'coco/train.json 1 images, coco/test.json 1 images'
    )
    assert 'deeppcb.py data/DeepPCB' in found['data set DeepPCB'].cure
    assert 'without train/*, test/*' in found['data set casting'].text


def test_feature_the_folders_are_those_of_the_configs() -> None:
    configs = Path(__file__).parents[2] / 'configs/_base_/datasets'
    texts = [path.read_text(encoding='utf-8') for path in configs.glob('*.py')]
    for one in data_sets.KNOWN:
        assert any(f"data_root = 'data/{one.folder}/'" in text for text in texts), one


def test_feature_lines() -> None:
    """In columns; the cure stands below what is wrong."""
    found = [Finding('a', 'ok', 'x'), Finding('long', 'broken', 'y', 'do z')]
    assert doctor.in_lines(found) == [
        'ok       a     x',
        'broken   long  y',
        '               -> do z',
        '1 ok, 0 warning, 1 broken',
    ]


def test_feature_installed() -> None:
    """What the metadata says, by names that are written one way."""
    from importlib.metadata import version

    found = facts.installed()
    assert found['onedl-mmcv'] == version('onedl-mmcv')
    assert found['prometheus-client'] == version('prometheus_client')
    with pytest.raises(PackageNotFoundError):
        version('no-such-package')
    assert 'no-such-package' not in found


def test_feature_imports_are_tried_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fails and one that ends the process hide none of the others."""
    (tmp_path / 'fails_so.py').write_text('raise ImportError("libx is missing")')
    (tmp_path / 'kills_so.py').write_text('import os; os.abort()')
    (tmp_path / 'talks_so.py').write_text('print("hello")')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    names = ['fails_so', 'talks_so', 'absent_so', 'kills_so']
    found = facts.tried_imports(names)
    assert found['fails_so'] == 'ImportError: libx is missing'
    assert found['talks_so'] is None
    assert found['kills_so'].startswith('its import ends the process')
    assert 'absent_so' not in found


def test_feature_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / 'nvidia-smi'
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')
    tool.write_text('#!/bin/sh\necho "T4, 535.1, 15360 MiB"\n')
    tool.chmod(0o755)
    assert facts.gpus() == (['T4, 15360 MiB, driver 535.1'], None)
    tool.write_text('#!/bin/sh\necho "Driver/library version mismatch"\nexit 18\n')
    assert facts.gpus() == (None, 'Driver/library version mismatch')


def test_feature_loads_neither_torch_nor_openmmlab() -> None:
    """In a process that cannot import them; imports are tried in another one."""
    code = """
import sys
from importlib.machinery import PathFinder

hidden = {'torch', 'mmengine', 'mmcv', 'mmdet', 'numpy', 'cv2', 'yaml'}
found = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name in hidden else found(name, path, target)

PathFinder.find_spec = find_spec
from mmdefect.cli import facts
from mmdefect.cli.main import main

facts.tried_imports = lambda: {}
main(['doctor'])
print(not hidden & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        env=tool_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == 'True', done.stderr
    assert 'OpenMMLab' in done.stdout
