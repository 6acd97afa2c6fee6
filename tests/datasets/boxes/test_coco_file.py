"""One reader of COCO files: what is put right, what is refused, in which words."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mmdefect.datasets.boxes.coco_file import boxes_in_frame, normalise_coco, read_coco
from mmdefect.utils import text_files

Coco = dict[str, Any]


def drawn() -> Coco:
    """Two images, three boxes, two classes with a gap between their ids."""
    return {
        'images': [
            {'id': 1, 'file_name': 'images/a.png', 'width': 96, 'height': 64},
            {'id': 59, 'file_name': 'images/b.png', 'width': 96, 'height': 64},
        ],
        'annotations': [
            {
                'id': number,
                'image_id': image,
                'category_id': category,
                'bbox': [10 * number, 10, 20, 30],
                'area': 600,
                'iscrowd': 0,
            }
            for number, (image, category) in enumerate([(1, 0), (59, 0), (59, 7)], 1)
        ],
        'categories': [{'id': 0, 'name': 'dent'}, {'id': 7, 'name': 'rust'}],
    }


def changed(change: Callable[[Coco], Any]) -> Coco:
    """Read a changed file."""
    coco = drawn()
    return normalise_coco(change(coco) or coco, 'x.json')


def every(section: str, **fields: Any) -> Callable[[Coco], None]:
    def change(coco: Coco) -> None:
        for entry in coco[section]:
            entry.update(copy.deepcopy(fields))

    return change


def first(section: str, **fields: Any) -> Callable[[Coco], None]:
    return lambda coco: coco[section][0].update(fields)


def drop(section: str, *keys: str) -> Callable[[Coco], None]:
    def change(coco: Coco) -> None:
        for entry in coco[section]:
            for key in keys:
                entry.pop(key)

    return change


def renamed(change: Callable[[Any], Any], *keys: str) -> Callable[[Coco], None]:
    """Change ids everywhere they stand."""

    def apply(coco: Coco) -> None:
        places = {'image_id': 'images', 'category_id': 'categories'}
        for key in keys:
            for entry in coco['annotations']:
                entry[key] = change(entry[key])
            for entry in coco[places[key]]:
                entry['id'] = change(entry['id'])

    return apply


def test_smoke(tmp_path: Path) -> None:
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(drawn()), encoding='utf-8')
    assert read_coco(path) == drawn()
    assert read_coco(str(path), backend_args={'backend': 'local'}) == drawn()


def written_as(old: str, new: str) -> Callable[[Coco], None]:
    def change(coco: Coco) -> None:
        for image in coco['images']:
            image['file_name'] = image['file_name'].replace(old, new)

    return change


@pytest.mark.parametrize(
    'change',
    [
        lambda coco: None,
        drop('annotations', 'id', 'iscrowd', 'area'),
        *(every('annotations', id=value) for value in (0, 1.0, '6f1b-uuid', None)),
        *(every('annotations', area=v) for v in (None, '600', float('nan'), 0, True)),
        *(every('annotations', iscrowd=v) for v in (None, '0', 'False', False, 0.0)),
        every('images', width=96.0, height=64.0),
        every('images', width='96', height='64'),
        renamed(float, 'image_id', 'category_id'),
        renamed(str, 'image_id', 'category_id'),
        lambda coco: (
            [b.update(image_id=str(b['image_id'])) for b in coco['annotations']]
            and None
        ),
        written_as('/', '\\'),
        written_as('images/', './images//./'),
    ],
)
def test_feature_any_spelling_means_the_same(change: Callable[[Coco], Any]) -> None:
    assert changed(change) == drawn()


def test_feature_a_parent_of_the_name_of_its_class() -> None:
    """Roboflow writes one, and no box of it."""

    def add(coco: Coco) -> None:
        coco['categories'].insert(0, {'id': 3, 'name': 'rust'})

    assert changed(add) == drawn()


@pytest.mark.parametrize('value', [1, '1', True, 'true', 'True ', 1.0])
def test_feature_crowds_in_any_spelling(value: Any) -> None:
    boxes = changed(first('annotations', iscrowd=value, ignore=value))['annotations']
    assert [box['iscrowd'] for box in boxes] == [1, 0, 0]
    assert [box.get('ignore') for box in boxes] == [1, None, None]


def test_feature_ids_of_text_are_numbered_in_the_order_of_the_file() -> None:
    found = changed(renamed(lambda key: f'nr {key}', 'image_id', 'category_id'))
    assert [image['id'] for image in found['images']] == [1, 2]
    assert [one['id'] for one in found['categories']] == [1, 2]
    assert [box['image_id'] for box in found['annotations']] == [1, 2, 2]
    assert [box['category_id'] for box in found['annotations']] == [1, 1, 2]


def test_feature_leading_zeros_are_no_number() -> None:
    """'059' and '59' may be two images."""
    coco = changed(
        lambda coco: (
            coco['images'].append({**coco['images'][1], 'id': '059'})
            or coco['images'][2].update(file_name='c.png')
        )
    )
    assert [image['id'] for image in coco['images']] == [1, 2, 3]
    assert [box['image_id'] for box in coco['annotations']] == [1, 2, 2]


def test_feature_the_source_is_not_changed() -> None:
    coco = drawn()
    coco['annotations'][0]['area'] = None
    before = copy.deepcopy(coco)
    normalise_coco(coco, 'x')
    assert coco == before


def test_feature_masks_need_no_box() -> None:
    coco = drawn()
    del coco['annotations'][0]['bbox']
    found = normalise_coco(coco, 'x', boxes=False)
    assert 'bbox' not in found['annotations'][0]


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-32'])
def test_feature_byte_order_marks(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / 'x.json'
    path.write_bytes(json.dumps(drawn()).encode(encoding))
    assert read_coco(path) == drawn()


def test_feature_boxes_in_frame() -> None:
    coco = drawn()
    for box, corners in zip(
        coco['annotations'],
        ([-5, 10, 20, 20], [10, 10, 0, 5], [0, 0, 96.4, 64]),
        strict=True,
    ):
        box['bbox'] = corners
    kept, found = boxes_in_frame(normalise_coco(coco, 'x'))
    assert [box['bbox'] for box in kept] == [[0, 10, 15, 20], [0, 0, 96.4, 64]]
    assert [box['area'] for box in kept] == [300, 600]
    assert found == (
        'degenerate boxes dropped 1: images/b.png [10, 10, 10, 15]; out-of-frame boxes '
        'clipped 1: images/a.png [-5, 10, 15, 30].'
    )
    assert boxes_in_frame(drawn()) == (drawn()['annotations'], None)


OUTLINE = [[1, 1, 9, 1, 9, 9]]
box, image = partial(first, 'annotations'), partial(first, 'images')
OUT = 'expected a path within the folder'
NO_FILE = 'that a file system can hold'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (drop('annotations', 'bbox'), 'annotation 1 has no bbox: expected a box'),
        (box(bbox=[]), r'annotation 1 has \[\] as bbox: expected a'),
        (box(bbox=[1, 2, 3]), r'annotation 1 has \[1, 2, 3\] as bbox'),
        (box(bbox=[1, 2, 3, '4']), r"\[1, 2, 3, '4'\] as bbox"),
        (box(bbox=[1, 2, 3, float('nan')]), r'nan\] as bbox'),
        (box(bbox=[1, 2, 1e18, 3]), r'within 10000000 pixels'),
        (box(bbox=[[[1]]] * 4), 'a list of 4 entries as bbox'),
        (
            box(bbox=[], segmentation=OUTLINE),
            r'outline \(segmentation\) but no bbox',
        ),
        (box(id=17, bbox=5), r'annotation 1 \(id 17\) has 5 as bbox'),
        (box(iscrowd='maybe'), "annotation 1 has 'maybe' as iscrowd"),
        (box(iscrowd=2), 'annotation 1 has 2 as iscrowd: expected 0 or'),
        (box(iscrowd=[0]), r'annotation 1 has \[0\] as iscrowd'),
        (box(image_id=60), 'names image 60: expected an id that the'),
        (box(image_id='059'), "names image '059': expected an id that"),
        (box(image_id=[1]), r'names image \[1\]: expected'),
        (drop('annotations', 'image_id'), 'annotation 1 names image null'),
        (box(category_id=3), 'names category 3: .*, such as 0; convert'),
        (drop('images', 'width', 'height'), 'image 1 has nothing as width: expected'),
        (image(height=float('nan')), 'image 1 has nan as height'),
        (image(height=0), 'image 1 has 0 as height'),
        (image(height=True), 'image 1 has True as height'),
        (image(height=10**400), 'image 1 has 1000.* as height'),
        (image(width='wide'), "has 'wide' as width: expected the whole"),
        (image(width=10**5, height=10**5), 'expected at most 200000000 pixels'),
        (image(file_name='../a.png'), r"image 1 names the file '\.\./a\.png'"),
        (image(file_name='a\\..\\..\\b.png'), OUT),
        (image(file_name='/data/a.png'), OUT),
        (image(file_name='C:\\a.png'), OUT),
        (image(file_name=''), "image 1 names the file ''.*expected a path"),
        (image(file_name=5), 'image 1 names the file 5.*expected a path'),
        (image(file_name='a\0.png'), NO_FILE),
        (image(file_name='a' * 300), NO_FILE),
        (image(file_name='\ud800.png'), NO_FILE),
        (every('images', file_name='a.png'), r'files more than once \(1: a\.png\)'),
        (
            lambda coco: coco['images'][1].update(file_name='.\\images\\a.png'),
            r'more than once \(1: images/a\.png\).*; merge the entries',
        ),
        (image(id=59), r'uses ids of images twice \(1: 59\): expected every'),
        (image(id=None), 'image 1 has the id null: expected a number or text'),
        (image(id=1.5), 'image 1 .*has the id 1.5: expected a number or text'),
        (image(id=True), 'image 1 .*has the id True: expected a number'),
        (image(id=[1]), r'image 1 has the id \[1\]: expected a number'),
        (first('categories', id=7), r'uses ids of categories twice \(1: 7\)'),
        (first('categories', name=3), r'category 1 \(id 0\) has the name 3: expected'),
        (first('categories', name=' '), "has the name ' ': expected text"),
        (first('categories', name='\ud800'), r"has the name '\\ud800': expected text"),
        (first('categories', name='rust'), r'names classes twice \(1: rust\)'),
        (
            lambda coco: coco.update(annotations={'1': {}}),
            "x.json holds 'annotations' as an object of 1 entries: expected a list of",
        ),
        (lambda coco: coco.update(images=None), "holds 'images' as null: expected a"),
        (lambda coco: coco.update(annotations=[[]]), r'annotation 1 is \[\]: expected'),
        (lambda coco: coco.pop('categories') and None, "x.json has no 'categories': e"),
    ],
)
def test_exception(change: Callable[[Coco], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        changed(change)
    assert str(error.value).startswith('x.json')
    str(error.value).encode()  # can be printed
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[]', 'holds a list.*expected a COCO annotation file, which is one object'),
        ('{"images": [', r'is no JSON \(Expecting value: line 1 column 13'),
        ('[' * 100_000, 'nests lists or objects too deeply'),
        ('{"images": ' + '9' * 5000 + '}', 'holds a number of too many digits'),
        ('', 'is no JSON'),
    ],
)
def test_exception_no_coco_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'bad.json'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=message) as error:
        read_coco(path)
    assert str(path) in str(error.value)


def test_exception_files_that_never_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.json')
    (tmp_path / 'zero.json').symlink_to('/dev/zero')
    for name in ('pipe', 'zero'):
        with pytest.raises(ValueError, match=rf'{name}\.json is a device or a pipe'):
            read_coco(tmp_path / f'{name}.json')
    with pytest.raises(ValueError, match=r'is a folder.*expected the annotation file'):
        read_coco(tmp_path)
    with pytest.raises(FileNotFoundError, match='no annotation file'):
        read_coco(tmp_path / 'none.json')


def test_exception_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'x.json'
    path.write_text(json.dumps(drawn()), encoding='utf-8')
    monkeypatch.setitem(text_files.MAX_JSON_PARTS, '{', 3)
    with pytest.raises(ValueError, match=r"holds 8 times '\{'.*expected at most 3"):
        read_coco(path)
    monkeypatch.setenv('MMDEFECT_MAX_PIXELS', str(96 * 64 - 1))
    with pytest.raises(ValueError, match='expected at most 6143 pixels in all'):
        normalise_coco(drawn(), 'x')
