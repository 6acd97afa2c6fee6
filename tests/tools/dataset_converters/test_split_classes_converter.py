from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mmdefect.converters.coco import ImageRecord, build_coco
from mmdefect.datasets.boxes.coco_file import save_json

ROOT = Path(__file__).parents[3]
main = runpy.run_path(str(ROOT / 'tools/dataset_converters/split_classes.py'))['main']


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four images: x, y, x and y, z."""
    records = [
        ImageRecord(f'{i}.jpg', 9, 9, [(name, (0, 0, 5, 5)) for name in names])
        for i, names in enumerate(['x', 'y', 'xy', 'z'])
    ]
    path = tmp_path / 'train.json'
    save_json(build_coco(records, ['x', 'y', 'z'], title='train')[0], path)
    return path


@pytest.mark.parametrize(
    ('mode', 'images', 'boxes'),
    [('overlap', 3, 3), ('disjoint', 2, 2), ('relabel', 3, 4)],
)
def test_smoke(source: Path, mode: str, images: int, boxes: int) -> None:
    assert main([str(source), '--protocol', '1+2', '--mode', mode]) == 0
    step = json.loads((source.parent / 'train_step1.json').read_text(encoding='utf-8'))
    assert (len(step['images']), len(step['annotations'])) == (images, boxes)
    assert [c['name'] for c in step['categories']] == ['x', 'y', 'z']


def test_feature_class_lists_and_table(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / 'steps'
    assert main([str(source), '--steps', 'z,x', 'y', '--out', str(out)]) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        'train_step0.json',
        'train_step1.json',
    ]
    assert '| 1 | y | 2 | 2 | 1 (50.0%) | 0 (0.0%) |' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--protocol', '2+2'], 'does not add up'),
        (['--steps', 'x', 'yy'], "unknown class 'yy'"),
    ],
)
def test_exception_protocol(
    source: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    assert main([str(source), *options]) == 1
    assert message in capsys.readouterr().out


def test_exception_step_without_images(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = json.loads(source.read_text(encoding='utf-8'))
    coco['annotations'] = [a for a in coco['annotations'] if a['category_id'] != 3]
    save_json(coco, source)
    assert main([str(source), '--protocol', '2+1']) == 1
    assert 'No image is left for the classes z' in capsys.readouterr().out
