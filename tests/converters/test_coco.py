from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdefect.converters.coco import (
    ImageRecord,
    build_coco,
    check_coco,
    reorder_classes,
)
from mmdefect.datasets.boxes.coco_file import clip_box, save_json

BOX = (2, 3, 12, 8)


def record(*objects: tuple[str, Any], name: str = 'a.jpg') -> ImageRecord:
    return ImageRecord(name, 20, 10, list(objects))


def good_coco() -> dict[str, Any]:
    return build_coco([record(('x', BOX), ('y', BOX))], ['x', 'y'], title='train')[0]


def test_smoke_golden_file() -> None:
    coco, report = build_coco([record(('y', BOX))], ['x', 'y'], title='train')
    assert coco == {
        'info': {'description': 'train', 'version': '1.0'},
        'licenses': [],
        'categories': [
            {'id': 1, 'name': 'x', 'supercategory': 'defect'},
            {'id': 2, 'name': 'y', 'supercategory': 'defect'},
        ],
        'images': [{'id': 1, 'file_name': 'a.jpg', 'width': 20, 'height': 10}],
        'annotations': [
            {
                'id': 1,
                'image_id': 1,
                'category_id': 2,
                'bbox': [2, 3, 10, 5],
                'area': 50,
                'iscrowd': 0,
            }
        ],
    }
    assert report.boxes == {'x': 0, 'y': 1}


def test_feature_what_is_dropped_or_clipped_is_named() -> None:
    boxes = [BOX, BOX, (5, 5, 5, 9), (15, 5, 25, 9), (30, 5, 40, 9)]
    records = [record(('y', BOX), *(('x', b) for b in boxes)), record(name='b.jpg')]
    coco, report = build_coco(records, ['x', 'y'], title='t')
    found = [(a['category_id'], a['bbox']) for a in coco['annotations']]
    assert found == [(2, [2, 3, 10, 5]), (1, [2, 3, 10, 5]), (1, [15, 5, 5, 4])]
    assert len(coco['images']) == 2
    assert report.duplicates == ['a.jpg x [2, 3, 12, 8]']
    assert report.out_of_frame == ['a.jpg x [15, 5, 25, 9]']
    assert report.degenerate == ['a.jpg x [5, 5, 5, 9]', 'a.jpg x [30, 5, 40, 9]']
    assert '  images without boxes: 1: b.jpg' in str(report).splitlines()
    assert not report.errors


def test_feature_an_image_that_lost_its_boxes_is_not_good() -> None:
    lost = record(('x', (5, 5, 5, 9)), ('y', (30, 5, 40, 9)))
    records = [lost, record(('y', BOX), name='b.jpg'), record(name='c.jpg')]
    coco, report = build_coco(records, ['x', 'y'], title='t')
    assert [(i['id'], i['file_name']) for i in coco['images']] == [
        (1, 'b.jpg'),
        (2, 'c.jpg'),
    ]
    assert coco['annotations'][0]['image_id'] == 1
    assert (report.images, report.empty) == (2, ['c.jpg'])
    assert len(report.degenerate) == 2
    (note,) = report.notes
    assert note.startswith('images left out')
    assert note.endswith(': 1: a.jpg')


def test_exception_unknown_class_is_an_error_of_the_report() -> None:
    _, report = build_coco([record(('xx', BOX))], ['xxx', 'y'], title='t')
    assert len(report.errors) == 1
    assert "a.jpg names the unknown class 'xx'" in report.errors[0]
    assert 'did you mean xxx?' in report.errors[0]


def test_feature_check_finds_what_it_should() -> None:
    coco = good_coco()
    report = check_coco(coco, title='t')
    assert (report.images, report.boxes, report.errors) == (1, {'x': 1, 'y': 1}, [])
    assert not report.duplicates
    first = coco['annotations'][0]
    coco['images'].append({'id': 2, 'file_name': 'b.jpg', 'width': 9, 'height': 9})
    coco['annotations'] += [
        {**first, 'id': 3},
        {**first, 'id': 4, 'bbox': [18, 3, 10, 5]},
        {**first, 'id': 5, 'bbox': [2, 3, 0, 5]},
        {**first, 'id': 6, 'bbox': [2, 3, 18.4, 5]},
    ]
    report = check_coco(coco, title='t')
    assert report.duplicates == ['a.jpg x [2, 3, 12, 8]']
    assert report.out_of_frame == ['a.jpg x [18, 3, 28, 8]']
    assert report.degenerate == ['a.jpg x [2, 3, 2, 8]']
    assert report.empty == ['b.jpg']
    assert not report.errors


def test_feature_check_counts_boxes_that_are_ignored() -> None:
    coco = good_coco()
    coco['annotations'][0]['iscrowd'] = 1
    (note,) = check_coco(coco, title='t').notes
    assert note.startswith('1 of 2 boxes are marked iscrowd: nothing is learned')


def test_exception_missing_image_files(tmp_path: Path) -> None:
    report = check_coco(good_coco(), title='t', root=tmp_path)
    assert report.missing == ['a.jpg']
    (error,) = report.errors
    assert error.startswith(f'1 of 1 image files are not under {tmp_path}: expected')


def test_feature_reorder_keeps_names_and_other_fields() -> None:
    coco = good_coco()
    coco['annotations'][0]['segmentation'] = [[1, 2, 3, 4, 5, 6]]
    del coco['info'], coco['licenses']
    new = reorder_classes(coco, ['y', 'x'])
    assert [(c['id'], c['name']) for c in new['categories']] == [(1, 'y'), (2, 'x')]
    assert [a['category_id'] for a in new['annotations']] == [2, 1]
    assert new['annotations'][0]['segmentation'] == [[1, 2, 3, 4, 5, 6]]
    assert {'info', 'licenses'} <= new.keys()  # as tools require


def test_exception_reorder() -> None:
    with pytest.raises(ValueError, match='--classes leaves out y: expected all'):
        reorder_classes(good_coco(), ['x'])
    with pytest.raises(ValueError, match="classes names the unknown class 'z'"):
        reorder_classes(good_coco(), ['x', 'y', 'z'])


def test_feature_clip_box() -> None:
    assert clip_box((-1, 2, 30, 40), width=20, height=10) == (0, 2, 20, 10)


def test_exception_what_json_cannot_hold(tmp_path: Path) -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    for value, message in (
        (float('nan'), r'x\.json would hold NaN or an infinite'),
        (float('inf'), r'x\.json would hold NaN or an infinite'),
        (deep, r'x\.json would nest lists or objects too'),
    ):
        with pytest.raises(ValueError, match=message):
            save_json({'value': value}, tmp_path / 'x.json')
    assert not list(tmp_path.iterdir())
