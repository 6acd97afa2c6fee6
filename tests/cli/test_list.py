"""``mmdefect list``: out of a checkout, and out of an installed package."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from mmdefect.cli import catalogue
from mmdefect.cli.main import main
from tests.conftest import REPO


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A package as a wheel has it: configs, no results."""
    package = tmp_path / 'mmdefect'
    for name in ('gfl', 'erd', '_base_/datasets'):
        shutil.copytree(REPO / 'configs' / name, package / '.mim/configs' / name)
    return package


def test_smoke_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['list']) == 0
    said = capsys.readouterr().out
    assert '\n  coreset ' in said
    assert 'use it to compare\n' in said
    assert 'data/NEU-DET/' in said
    assert 'neu-det_3+3_cpu_24e: NEU-DET' in said
    assert '.py\n' not in said


def test_feature_presets_are_all_configs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['list', 'presets']) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = {line.strip() for line in lines if line.endswith('.py')}
    configs = {
        f'{path.parent.name}/{path.name}'
        for path in REPO.glob('configs/*/*.py')
        if path.parent.name != '_base_'
    }
    assert listed == configs


def test_feature_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['list', '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {'methods', 'datasets', 'presets', 'results'}
    assert {one['name'] for one in found['methods']} == found['presets'].keys()
    assert all(one['title'] and one['use'] for one in found['methods'])
    assert all(one['about'] and one['folder'] for one in found['datasets'])


def test_feature_results_are_those_of_the_files() -> None:
    """The numbers of a file, in its order, without what only spreads them."""
    found = {one['name']: one for one in catalogue.results(REPO)}
    path = REPO / 'docs/results/neu-det_3+3_cpu_24e.json'
    content = json.loads(path.read_text(encoding='utf-8'))
    rows = found['neu-det_3+3_cpu_24e']['rows']
    assert rows['erd'] == {
        measure: content['metrics'][f'erd/{measure}']
        for measure in ('old', 'new', 'all')
    }
    assert found['products_3-1x2_cpu']['rows']['coreset'].keys() == {
        'ACC_image',
        'forgetting_image',
        'ACC_pixel',
    }
    assert 'images' in found['casting_cpu']['rows']['luna/legacy/legacy']
    assert not found.keys() & {'coverage', 'bench_detection', 'readme', 'paper'}


def test_feature_installed_package(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was published stands in its metafiles; without YAML it says where it is."""
    root = catalogue.root_of(installed)
    assert root == installed / '.mim'
    assert [one['name'] for one in catalogue.methods(root)] == ['erd', 'gfl']
    (found,) = catalogue.results(root)
    assert found['rows'] == {'gfl_r50_fpn_1x_coco': {'box AP': 40.2}}
    monkeypatch.setitem(sys.modules, 'yaml', None)
    monkeypatch.setattr(catalogue, 'root_of', lambda: root)
    assert main(['list', 'results']) == 0
    assert 'in the checkout, docs/results' in capsys.readouterr().out


def test_exception_no_configs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='expected the configs that come with'):
        catalogue.root_of(tmp_path / 'mmdefect')
