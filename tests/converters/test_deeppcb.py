from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mmdefect.converters.deeppcb import REAL_TOTALS, convert_deeppcb, read_annotation
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
    boxes = convert_deeppcb(root)['train'][0]['annotations']
    (box,) = (one for one in boxes if one['image_id'] == 1)
    assert (box['bbox'], box['category_id']) == ([10, 20, 20, 40], 6)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('1 2 3 4', "line 2 is '1 2 3 4': expected five integers"),
        ('1,2,3,4,5', 'expected five integers'),
        ('1 2 3 4 7', 'line 2 has the unknown class 7: expected a type from 1 to 6'),
        ('1 2 3 4 0', 'has the unknown class 0'),
        ('1 2 3 99999999999 1', 'expected five integers'),
        (f'1 2 3 {"9" * 5000} 1', 'expected five integers'),
    ],
)
def test_exception_bad_line(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / 'a.txt').write_text(f'1 2 3 4 1\n{line}\n', encoding='utf-8')
    with pytest.raises(ValueError, match=message):
        read_annotation(tmp_path / 'a.txt')


def lines_of(path: Path) -> list[str]:
    return path.read_text(encoding='utf-8').splitlines()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda test, train: train, '^both lists name 6: PCBData/group00041/'),
        (lambda test, train: ['one-path.jpg'], r"test\.txt holds the line 'one-path"),
        (
            lambda test, train: [f'../{line}' for line in test],
            r"test\.txt names the file '\.\./group",
        ),
        (
            lambda test, train: [line.replace(' ', ' /') for line in test],
            'expected a path within the folder',
        ),
        (
            lambda test, train: [*test, test[0].replace('/', '\\')],
            r'^test names images twice \(1: PCBData/group',
        ),
    ],
)
def test_exception_lists(root: Path, change: Any, message: str) -> None:
    test, train = (root / f'PCBData/{name}.txt' for name in ('test', 'trainval'))
    lines = change(lines_of(test), lines_of(train))
    test.write_text('\n'.join(lines), encoding='utf-8')
    assert re.search(message, errors_of(root)[0])


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
    assert errors[0].startswith('train images=6: expected 1000 as in the real DeepPCB')
    assert errors[1].startswith('train open=')
    # As the published paper counts boxes, whatever their class.
    assert [sum(REAL_TOTALS[side][1:]) for side in ('train', 'test')] == [6873, 3140]
