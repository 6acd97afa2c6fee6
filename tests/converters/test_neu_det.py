from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from mmdefect.converters.coco import ImageRecord
from mmdefect.converters.neu_det import (
    REAL_TOTALS,
    choose_split,
    committed_split,
    convert_neu_det,
    read_split_list,
    totals,
)
from mmdefect.converters.output import differing_totals
from mmdefect.converters.voc import name_prefix
from mmdefect.datasets.boxes.classes import NEU_DET_CLASSES


def test_smoke(toy_root: Path) -> None:
    converted = convert_neu_det(toy_root)
    train, test = converted['train'][1], converted['test'][1]
    assert (train.images, test.images) == (48, 12)
    assert not train.errors + test.errors
    assert min([*train.boxes.values(), *test.boxes.values()]) >= 2
    assert train.notes == ['stratified split with seed 0, test ratio 0.2']


def test_feature_committed_split_is_stratified_and_sorted() -> None:
    train, test = committed_split()
    assert Counter(map(name_prefix, train)) == dict.fromkeys(NEU_DET_CLASSES, 240)
    assert Counter(map(name_prefix, test)) == dict.fromkeys(NEU_DET_CLASSES, 60)
    assert not set(train) & set(test)
    assert (train, test) == (sorted(train), sorted(test))
    assert {'patches_101', 'patches_105'} <= set(train)  # the same file


def test_feature_committed_lists_are_used_when_they_fit() -> None:
    train, test = committed_split()
    split, note = choose_split([*test, *train], seed=5)
    assert split == (train, test)
    assert note == 'split by the committed lists'
    assert choose_split(train, seed=5)[1].startswith('stratified split with seed 5')


def test_feature_twins_share_a_side(toy_copy: Path) -> None:
    shutil.copy(toy_copy / 'IMAGES/patches_1.jpg', toy_copy / 'IMAGES/patches_2.jpg')
    for seed in range(5):
        coco, report = convert_neu_det(toy_copy, seed=seed)['train']
        names = {image['file_name'] for image in coco['images']}
        assert {'IMAGES/patches_1.jpg', 'IMAGES/patches_2.jpg'} <= names
        note = 'patches_1 and patches_2 are the same file, in the same split'
        assert note in report.notes


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_feature_split_list_of_windows(tmp_path: Path, encoding: str) -> None:
    text = 'IMAGES\\crazing_1.jpg\r\ncrazing_2\r\n'
    (tmp_path / 'list.txt').write_bytes(text.encode(encoding))
    assert read_split_list(tmp_path / 'list.txt') == ['crazing_1', 'crazing_2']


def test_exception_split_list_leads_out(tmp_path: Path) -> None:
    (tmp_path / 'list.txt').write_text('../crazing_1', encoding='utf-8')
    with pytest.raises(ValueError, match=r"list\.txt names the file '\.\./crazing_1'"):
        read_split_list(tmp_path / 'list.txt')
    with pytest.raises(FileNotFoundError, match=r'no split list .*none\.txt'):
        read_split_list(tmp_path / 'none.txt')


def test_exception_names_that_look_alike_are_told_apart() -> None:
    """As an editor leaves them: a space of no width, an accent of its own."""
    lists = (['a\u200b'], ['Ka\u0308fer'])
    with pytest.raises(ValueError, match=r'unknown images \(2: Ka\\u0308fer, a\\u200b'):
        choose_split(['a', 'K\u00e4fer'], lists=lists)


def test_exception_lists_do_not_fit() -> None:
    message = (
        r'unknown images \(1: d_1\), images listed twice \(1: b_1\), '
        r'images not listed \(1: c_1\)'
    )
    with pytest.raises(ValueError, match=message):
        choose_split(['a_1', 'b_1', 'c_1'], lists=(['a_1', 'b_1'], ['b_1', 'd_1']))


def test_exception_totals_of_the_real_set(toy_root: Path) -> None:
    errors = convert_neu_det(toy_root, expect_real=True)['train'][1].errors
    assert len(errors) == 7
    assert errors[0] == 'images=60: expected 1800 as in the real NEU-DET; get it again'
    assert sum(REAL_TOTALS.values()) == 1800 + 4189


def test_feature_real_totals_pass() -> None:
    real = REAL_TOTALS
    objects = [(name, (0, 0, 9, 9)) for name in NEU_DET_CLASSES]
    boxes = [one for one in objects for _ in range(real[one[0]])]
    records = [ImageRecord('a.jpg', 9, 9)] * 1799 + [ImageRecord('b', 9, 9, boxes)]
    assert differing_totals(totals(records), real, title='NEU-DET') == []
