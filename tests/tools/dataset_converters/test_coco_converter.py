from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from mmdefect.converters.coco import ImageRecord, build_coco
from mmdefect.datasets.boxes.coco_file import save_json

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


@pytest.mark.parametrize('options', [[], ['--renumber']])
def test_feature_annotations_are_numbered_from_one(
    coco: dict[str, Any], paths: list[str], options: list[str]
) -> None:
    for box in coco['annotations']:
        box['id'] = 0
    save_json(coco, Path(paths[0]))
    assert main([*paths, *options]) == 0
    new = json.loads(Path(paths[1]).read_text(encoding='utf-8'))
    assert [box['id'] for box in new['annotations']] == [1, 2]


def test_feature_what_is_written_is_put_right(
    coco: dict[str, Any], paths: list[str]
) -> None:
    """What the data set and the metric would do when reading, stands in the file."""
    coco['images'][0]['file_name'] = 'b\\a.jpg'
    coco['images'][0]['id'] = 'first'
    for box in coco['annotations']:
        box |= {'image_id': 'first', 'iscrowd': 'false', 'area': None}
    save_json(coco, Path(paths[0]))
    assert main(paths) == 0
    new = json.loads(Path(paths[1]).read_text(encoding='utf-8'))
    (image,) = new['images']
    assert (image['id'], image['file_name']) == (1, 'b/a.jpg')
    found = [
        (box['image_id'], box['iscrowd'], box['area']) for box in new['annotations']
    ]
    assert found == [(1, 0, 25), (1, 0, 16)]


def test_exception_nan_in_a_field_of_no_meaning(
    coco: dict[str, Any], paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    coco['annotations'][0]['score'] = float('nan')
    Path(paths[0]).write_text(json.dumps(coco), encoding='utf-8')
    assert main(paths) == 1
    assert 'target.json would hold NaN' in capsys.readouterr().out


def test_exception_a_folder_is_no_annotation_file(
    paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), paths[1]]) == 1
    assert 'is a folder: expected the annotation file' in capsys.readouterr().out


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
    assert 'here is no annotation file' in capsys.readouterr().out


def test_exception_no_instances_file(
    paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    save_json({'images': []}, Path(paths[0]))
    for options in ([], ['--renumber'], ['--protocol', '1+1']):
        assert main([*paths, *options]) == 1
        assert "has no 'annotations', 'categories'" in capsys.readouterr().out
