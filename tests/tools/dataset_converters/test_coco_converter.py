from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from mmdefect.datasets.converters.coco_checks import ImageRecord, build_coco, save_json

ROOT = Path(__file__).parents[3]
main = runpy.run_path(str(ROOT / 'tools/dataset_converters/coco.py'))['main']


@pytest.fixture
def coco() -> dict[str, Any]:
    objects = [('x', (0, 0, 5, 5)), ('y', (5, 5, 9, 9))]
    return build_coco([ImageRecord('a.jpg', 9, 9, objects)], ['x', 'y'], title='t')[0]


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return [str(tmp_path / 'source.json'), str(tmp_path / 'new/target.json')]


def test_smoke(coco: dict[str, Any], paths: list[str]) -> None:
    save_json(coco, Path(paths[0]))
    assert main([*paths, '--classes', 'y', 'x', '--protocol', '1+1']) == 0
    new = json.loads(Path(paths[1]).read_text(encoding='utf-8'))
    assert [c['name'] for c in new['categories']] == ['y', 'x']
    assert [a['category_id'] for a in new['annotations']] == [2, 1]


def test_feature_renumber_cures_duplicate_ids(
    coco: dict[str, Any], paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    coco['annotations'][1]['id'] = 1
    save_json(coco, Path(paths[0]))
    assert main(paths) == 1
    assert 'ids of annotations twice (1: 1)' in capsys.readouterr().out
    assert not Path(paths[1]).exists()
    assert main([*paths, '--renumber']) == 0


def test_exception_missing_images(
    coco: dict[str, Any], paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_json(coco, Path(paths[0]))
    assert main([*paths, '--image-root', str(Path(paths[0]).parent)]) == 1
    assert '1 of 1 image files are not under' in capsys.readouterr().out


def test_exception_missing_source(
    paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(paths) == 1
    assert 'There is no annotation file' in capsys.readouterr().out


def test_exception_no_instances_file(
    paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_json({'images': []}, Path(paths[0]))
    for options in ([], ['--renumber'], ['--protocol', '1+1']):
        assert main([*paths, *options]) == 1
        assert "has no 'annotations', 'categories'" in capsys.readouterr().out
