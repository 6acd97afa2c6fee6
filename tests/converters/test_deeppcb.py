from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mmdefect.converters.coco import Report
from mmdefect.converters.deeppcb import (
    REAL_TOTALS,
    compare_with_real,
    convert_deeppcb,
    read_annotation,
)
from mmdefect.datasets.boxes.classes import DEEPPCB_CLASSES
from mmdefect.testing import make_toy_deeppcb


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_deeppcb(tmp_path / 'DeepPCB', train=6, test=3, size=128)


def errors_of(root: Path) -> list[str]:
    return [e for _, report in convert_deeppcb(root).values() for e in report.errors]


def test_smoke(root: Path) -> None:
    coco, report = convert_deeppcb(root)['train']
    assert (report.images, report.errors) == (6, [])
    assert coco['images'][0]['file_name'] == (
        'PCBData/group00041/00041/00041000_test.jpg'
    )
    assert [c['name'] for c in coco['categories']] == list(DEEPPCB_CLASSES)
    assert sum(report.boxes.values()) == len(coco['annotations']) >= 18


def test_feature_width_is_x2_minus_x1(root: Path) -> None:
    text = root / 'PCBData/group00041/00041_not/00041000.txt'
    text.write_text('10 20 30 60 6', encoding='utf-8')
    (box,) = [
        a
        for a in convert_deeppcb(root)['train'][0]['annotations']
        if a['image_id'] == 1
    ]
    assert (box['bbox'], box['category_id']) == ([10, 20, 20, 40], 6)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('1 2 3 4', "line 2 is '1 2 3 4'; expected five integers"),
        ('1,2,3,4,5', 'expected five integers'),
        ('1 2 3 4 7', 'line 2 has the unknown class 7; expected a type from 1 to 6'),
        ('1 2 3 4 0', 'has the unknown class 0'),
        ('1 2 3 99999999999 1', 'expected five integers'),
        (f'1 2 3 {"9" * 5000} 1', 'expected five integers'),
    ],
)
def test_exception_bad_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / 'a.txt').write_text(f'1 2 3 4 1\n{line}\n', encoding='utf-8')
    with pytest.raises(ValueError, match=message):
        read_annotation(tmp_path / 'a.txt')


def test_exception_missing_file(root: Path) -> None:
    (root / 'PCBData/group00041/00041/00041000_test.jpg').unlink()
    (error,) = errors_of(root)
    assert error.startswith('1 listed files are not there (1: PCBData/group00041/')


def test_exception_missing_list(root: Path) -> None:
    (root / 'PCBData/test.txt').unlink()
    with pytest.raises(FileNotFoundError, match=r'here is no list .*test\.txt'):
        convert_deeppcb(root)


def test_exception_lists_overlap(root: Path) -> None:
    base = root / 'PCBData'
    (base / 'test.txt').write_text((base / 'trainval.txt').read_text(encoding='utf-8'))
    assert 'Both lists name 6: PCBData/group00041/' in errors_of(root)[0]


def test_exception_bad_list_line(root: Path) -> None:
    (root / 'PCBData/test.txt').write_text('only-one-path.jpg', encoding='utf-8')
    assert "holds the line 'only-one-path.jpg'" in errors_of(root)[0]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda line: f'../{line}', r"test\.txt names the file '\.\./group"),
        (lambda line: line.replace(' ', ' /'), 'expected a path within the folder'),
    ],
)
def test_exception_list_leads_out(root: Path, change: Any, message: str) -> None:
    path = root / 'PCBData/test.txt'
    lines = path.read_text(encoding='utf-8').splitlines()
    path.write_text('\n'.join(map(change, lines)), encoding='utf-8')
    errors = errors_of(root)
    assert len(errors) == 3
    assert re.search(message, errors[0])


def test_exception_list_names_an_image_twice(root: Path) -> None:
    path = root / 'PCBData/test.txt'
    lines = path.read_text(encoding='utf-8').splitlines()
    again = lines[0].replace('/', '\\')
    path.write_text('\n'.join([*lines, again]), encoding='utf-8')
    (error,) = errors_of(root)
    assert error.startswith('test names images twice (1: PCBData/group')


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_feature_windows_wrote_the_lists(root: Path, encoding: str) -> None:
    before = convert_deeppcb(root)
    for path in root.rglob('*.txt'):
        text = path.read_text(encoding='utf-8').replace('/', '\\')
        path.write_bytes(text.replace('\n', '\r\n').encode(encoding))
    assert convert_deeppcb(root) == before


def test_exception_totals_of_the_real_set(root: Path) -> None:
    errors = convert_deeppcb(root, expect_real=True)['train'][1].errors
    assert len(errors) == 7
    assert errors[0].startswith('train has 6 images; the real DeepPCB has 1000')


def test_feature_real_totals_pass() -> None:
    for split, boxes in (('train', 6873), ('test', 3140)):
        totals = {name: REAL_TOTALS[split][name] for name in DEEPPCB_CLASSES}
        coco = {'images': [None] * REAL_TOTALS[split]['images']}
        assert compare_with_real(coco, Report(split, boxes=totals), split) == []
        assert sum(totals.values()) == boxes
