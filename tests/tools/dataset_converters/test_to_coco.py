"""The tool that reads LabelMe, YOLO, CVAT, Label Studio, VOC and COCO."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.annotation_files import WRITERS
from tests.helpers.dataset_files import files_in, tool

Out = pytest.CaptureFixture[str]
to_coco, coco_tool = tool('to_coco'), tool('coco')


def test_smoke_and_again(tmp_path: Path, capsys: Out) -> None:
    """Into a folder of the source, twice; our other tool reads what is written."""
    parts, out = tmp_path / 'parts', tmp_path / 'parts/coco'
    WRITERS['cvat'](parts)
    assert to_coco(parts, '--out', out) == 0
    printed = capsys.readouterr().out
    assert 'train: 9 images, 9 boxes (dent 7, scratch 2)' in printed
    assert '  images without boxes: 2: images/part 11.png, images/part 7' in printed
    assert f'file names are relative to {parts}' in printed
    before = files_in(out)
    assert to_coco(parts, '--out', out, '--full', '--overwrite') == 0
    assert files_in(out) == before
    target = tmp_path / 'target.json'
    assert coco_tool(out / 'train.json', target, '--image-root', parts) == 0


def test_exception_splits_of_two_runs(tmp_path: Path, capsys: Out) -> None:
    """Old ones are not replaced unasked, and none is left beside the new."""
    parts, out = tmp_path / 'parts', tmp_path / 'coco'
    WRITERS['labelme'](parts)
    assert to_coco(parts, '--out', out, '--val-share', 0.5) == 0
    (out / 'val.json').rename(out / 'test.json')
    before = files_in(out)
    assert to_coco(parts, '--out', out) == 1
    printed = capsys.readouterr().out
    assert f'{out} holds splits already (2: train.json, test.json)' in printed
    assert to_coco(tmp_path / 'no', '--out', out, '--overwrite') == 1
    assert files_in(out) == before
    assert to_coco(parts, '--out', out, '--val-share', 0.999, '--overwrite') == 0
    assert {path.name for path in out.iterdir()} == {'train.json', 'val.json'}
    names = [
        {i['file_name'] for i in json.loads(path.read_text('utf-8'))['images']}
        for path in out.iterdir()
    ]
    assert not names[0] & names[1]
    assert len(names[0] | names[1]) == 12


def test_feature_share_seed_and_classes(tmp_path: Path) -> None:
    WRITERS['yolo'](tmp_path / 'parts')
    drawn = {}
    for seed in (0, 1):
        out = tmp_path / str(seed)
        words = ['--val-share', 0.5, '--seed', seed, '--classes', 'scratch', 'dent']
        assert (
            to_coco(tmp_path / 'parts', '--format', 'yolo', '--out', out, *words) == 0
        )
        content = json.loads((out / 'val.json').read_text(encoding='utf-8'))
        assert [c['name'] for c in content['categories']] == ['scratch', 'dent']
        drawn[seed] = {image['file_name'] for image in content['images']}
        assert 5 <= len(drawn[seed]) <= 7
    assert drawn[0] != drawn[1]


def test_exception_nothing_is_written(tmp_path: Path, capsys: Out) -> None:
    parts, out = tmp_path / 'parts', tmp_path / 'out'
    WRITERS['labelme'](parts)
    for path in parts.glob('*.json'):
        path.write_text('{"shapes": [', encoding='utf-8')
    assert to_coco(parts, '--out', out) == 1
    printed = capsys.readouterr().out
    assert printed.count('is no JSON') == 5
    assert 'ERROR: 7 more files cannot be used' in printed
    WRITERS['voc'](parts)
    assert to_coco(parts, '--out', out) == 1
    assert 'holds two formats at once, LabelMe (part 0.json)' in capsys.readouterr().out
    assert not out.exists()
