from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmdefect.converters.threshold_masks import (
    Threshold,
    describe,
    draw_review,
    find_objects,
    first_pass,
    second_pass,
)

PLAIN = Threshold(method='global', closing=0, min_area=1)


def grey(size: int = 20, level: int = 200) -> np.ndarray:
    return np.full((size, size, 3), level, np.uint8)


def two_objects() -> np.ndarray:
    """A dark ring of 6x6 with a hole of 2x2, and a bar of 1x5."""
    image = grey()
    image[2:8, 3:9] = 40
    image[4:6, 5:7] = 200
    image[15, 10:15] = 60
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, image in (('a.png', two_objects()), ('sub/b.png', grey())):
        (tmp_path / 'in' / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / 'in' / name), image)
    return tmp_path / 'in'


def test_smoke() -> None:
    numbers = find_objects(two_objects(), PLAIN)
    assert numbers.dtype == np.int32
    expected = np.zeros((20, 20), int)
    expected[2:8, 3:9] = 1
    expected[4:6, 5:7] = 0  # holes stay
    expected[15, 10:15] = 2
    np.testing.assert_array_equal(numbers, expected)
    assert describe(numbers, 'crack') == [
        {'id': 1, 'bbox': [3, 2, 6, 6], 'area': 32, 'class': 'crack'},
        {'id': 2, 'bbox': [10, 15, 5, 1], 'area': 5, 'class': 'crack'},
    ]
    json.dumps(describe(numbers, 'crack'))
    assert describe(np.zeros((3, 3), np.int32), 'crack') == []


def test_feature_small_components_go() -> None:
    for area, expected in ((5, [32, 5]), (6, [32]), (32, [32]), (33, [])):
        how = Threshold(method='global', closing=0, min_area=area)
        found = describe(find_objects(two_objects(), how), '')
        assert [one['area'] for one in found] == expected
        assert [one['id'] for one in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize(('closing', 'parts'), [(0, 2), (1, 2), (3, 1)])
def test_feature_closing_joins_what_a_gap_parts(closing: int, parts: int) -> None:
    image = grey()
    image[10, 2:8] = 0
    image[10, 9:15] = 0
    how = Threshold(method='global', closing=closing, min_area=1)
    assert find_objects(image, how).max() == parts


def test_feature_corners_connect() -> None:
    image = grey()
    for channel in range(3):
        np.fill_diagonal(image[..., channel], 0)
    assert find_objects(image, PLAIN).max() == 1


@pytest.mark.parametrize(
    ('objects', 'pixel', 'found'),
    [
        ('dark', (120, 120, 120), True),
        ('dark', (120, 121, 0), False),  # all three channels, as in the release
        ('dark', (0, 5, 119), True),
        ('bright', (120, 120, 120), True),
        ('bright', (119, 255, 255), False),
    ],
)
def test_feature_global_level_is_inclusive(
    objects: str, pixel: tuple, found: bool
) -> None:
    image = grey(level=200 if objects == 'dark' else 30)
    image[5, 5] = pixel
    how = Threshold(method='global', objects=objects, level=120, closing=0, min_area=1)
    numbers = find_objects(image, how)
    assert int(numbers.max()) == int(found)
    assert (numbers > 0).sum() == int(found)


@pytest.mark.parametrize('objects', ['dark', 'bright'])
def test_feature_otsu_finds_a_level_of_its_own(objects: str) -> None:
    """Two levels above 120: the global threshold sees nothing, or all."""
    image = grey(level=220 if objects == 'dark' else 140)
    image[4:9, 4:9] = 140 if objects == 'dark' else 220
    how = Threshold(method='otsu', objects=objects, closing=0, min_area=1)
    numbers = find_objects(image, how)
    assert [one['bbox'] for one in describe(numbers, '')] == [[4, 4, 5, 5]]


@pytest.mark.parametrize('objects', ['dark', 'bright'])
def test_feature_adaptive_sees_through_uneven_light(objects: str) -> None:
    sign = -1 if objects == 'dark' else 1
    ramp = np.linspace(60, 190, 60)
    image = np.repeat(np.tile(ramp, (60, 1))[..., None], 3, axis=2)
    spots = [(30, 10), (30, 50)]
    for y, x in spots:
        image[y : y + 3, x : x + 3] += sign * 40
    how = Threshold(method='adaptive', objects=objects, block=15, closing=0, min_area=1)
    numbers = find_objects(image.astype(np.uint8), how)
    boxes = [one['bbox'] for one in describe(numbers, '')]
    assert sorted(boxes) == [[10, 30, 3, 3], [50, 30, 3, 3]]


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'method': 'mean'}, 'expected one of global, otsu, adaptive'),
        ({'objects': 'grey'}, 'expected one of dark, bright'),
        ({'level': 256}, 'level=256: expected at least 0 and at most 255'),
        ({'block': 50}, 'block=50: expected an odd number from 3 on'),
        ({'block': 1}, 'block=1: expected an odd number'),
        ({'closing': -1}, 'closing=-1: expected at least 0'),
        ({'min_area': 0}, 'min_area=0: expected at least 1'),
    ],
)
def test_exception_threshold(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Threshold(**kwargs)


def read(masks: Any, name: str) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(masks.files[name], np.uint8), -1)


def edit(tmp_path: Path, review: dict, change: Any) -> Path:
    review = copy.deepcopy(review)
    change(review)
    path = tmp_path / 'components.json'
    path.write_text(json.dumps(review), encoding='utf-8')
    return path


def test_feature_review(folder: Path, tmp_path: Path) -> None:
    """All are the first class until a person says otherwise."""
    masks, review = first_pass(folder, PLAIN, ['crack', 'pore'])
    assert set(np.unique(read(masks, 'a'))) == {0, 1}
    assert masks.empty == ['sub/b']
    assert review['images']['sub/b'] == []

    def change(review: dict) -> None:
        review['images']['a'][0]['class'] = 'pore'
        review['images']['a'][1]['class'] = None

    masks, again, counts = second_pass(folder, edit(tmp_path, review, change))
    assert again['classes'] == ['crack', 'pore']
    assert counts == {'pore': 1, 'dropped': 1}
    expected = np.zeros((20, 20), int)
    expected[2:8, 3:9] = 2
    expected[4:6, 5:7] = 0
    np.testing.assert_array_equal(read(masks, 'a'), expected)


def test_feature_taken_out_is_dropped(folder: Path, tmp_path: Path) -> None:
    masks, review = first_pass(folder, PLAIN, ['crack'])
    path = edit(tmp_path, review, lambda r: r['images']['a'].pop(0))
    masks, _, counts = second_pass(folder, path)
    assert counts == {'crack': 1, 'dropped': 1}
    assert np.argwhere(read(masks, 'a')).min(0).tolist() == [15, 10]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda r: r.pop('threshold'), r"lacks something \(KeyError: 'threshold'\)"),
        (lambda r: r['threshold'].update(x=1), 'lacks something .TypeError'),
        (lambda r: r.update(classes=[]), r'classes=\[\]'),
        (lambda r: r['images'].pop('sub/b'), r'same images \(first sub/b, 1 in all\)'),
        (lambda r: r['images'].update(c=[]), r'the same images \(first c, 1 in all\)'),
        (lambda r: r['images']['a'][0].pop('class'), "an entry without 'class'"),
        (
            lambda r: r['images']['a'][0].update({'class': 'rust'}),
            "image a: component 1 has the class 'rust': expected crack, or null",
        ),
        (lambda r: r['images']['a'][0].update(area=31), 'component 1 is not what the'),
        (
            lambda r: r['images']['a'][1].update(bbox=[0, 0, 5, 1]),
            'component 2 is not what the image gives',
        ),
        (lambda r: r['images']['a'][0].update(id=3), 'component 3 is not what the'),
        (lambda r: r['images']['a'][0].update(id=True), 'component True is not what'),
        (lambda r: r['images']['a'][1].update(r['images']['a'][0]), 'or there twice'),
        (lambda r: r['threshold'].update(min_area=6), 'component 2 is not what'),
    ],
)
def test_exception_review(
    folder: Path, tmp_path: Path, change: Any, message: str
) -> None:
    _, review = first_pass(folder, PLAIN, ['crack'])
    with pytest.raises(ValueError, match=message):
        second_pass(folder, edit(tmp_path, review, change))


def test_exception_changed_image(folder: Path, tmp_path: Path) -> None:
    _, review = first_pass(folder, PLAIN, ['crack'])
    cv2.imwrite(str(folder / 'a.png'), np.roll(two_objects(), 1, axis=0))
    with pytest.raises(ValueError, match='component 1 is not what the image gives'):
        second_pass(folder, edit(tmp_path, review, lambda r: None))


def test_feature_pictures_show_boxes() -> None:
    image = two_objects()
    drawn = draw_review(image, describe(find_objects(image, PLAIN), 'crack'))
    assert drawn[2, 3].tolist() == drawn[7, 8].tolist() == [0, 0, 255]
    np.testing.assert_array_equal(image, two_objects())
