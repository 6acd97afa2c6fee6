from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.datasets.converters.coco_checks import Report
from mmdefect.datasets.converters.deeppcb import (
    DEEPPCB_CLASSES,
    REAL_TOTALS,
    compare_with_real,
    convert_deeppcb,
    read_annotation,
)
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
    with pytest.raises(FileNotFoundError, match=r'There is no list .*test\.txt'):
        convert_deeppcb(root)


def test_exception_lists_overlap(root: Path) -> None:
    base = root / 'PCBData'
    (base / 'test.txt').write_text((base / 'trainval.txt').read_text(encoding='utf-8'))
    assert 'Both lists name 6: PCBData/group00041/' in errors_of(root)[0]


def test_exception_bad_list_line(root: Path) -> None:
    (root / 'PCBData/test.txt').write_text('only-one-path.jpg', encoding='utf-8')
    assert "holds the line 'only-one-path.jpg'" in errors_of(root)[0]


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
