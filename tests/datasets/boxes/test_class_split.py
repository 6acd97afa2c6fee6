from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmdefect.datasets.boxes.class_split import (
    classes_per_image,
    cooccurrence_table,
    image_is_kept,
    split_coco,
)


def make_coco(images: list[str], classes: str = 'abcd') -> dict[str, Any]:
    """One image a string, one box a letter: ``['ab', 'c']``."""
    boxes = [(i, letter) for i, image in enumerate(images, 1) for letter in image]
    return {
        'info': {},
        'categories': [{'id': 10 + i, 'name': c} for i, c in enumerate(classes)],
        'images': [{'id': i} for i in range(1, len(images) + 1)],
        'annotations': [
            {'id': n, 'image_id': i, 'category_id': 10 + classes.index(letter)}
            for n, (i, letter) in enumerate(boxes)
        ],
    }


def kept(coco: dict[str, Any]) -> tuple[list[int], str]:
    names = {c['id']: c['name'] for c in coco['categories']}
    letters = ''.join(names[a['category_id']] for a in coco['annotations'])
    return [image['id'] for image in coco['images']], letters


COCO = make_coco(['aab', 'c', 'bc', '', 'cd', 'ac'])


@pytest.mark.parametrize(
    ('mode', 'images', 'letters'),
    [
        ('overlap', [2, 3, 5, 6], 'cccdc'),
        ('disjoint', [2, 5], 'ccd'),
        ('relabel', [2, 3, 5, 6], 'cbccdac'),
    ],
)
def test_feature_modes(mode: str, images: list[int], letters: str) -> None:
    step = split_coco(COCO, keep=['c', 'd'], seen=['a', 'b', 'c', 'd'], mode=mode)
    assert kept(step) == (images, letters)


def test_feature_unseen_classes_and_all_categories() -> None:
    step = split_coco(COCO, keep=['b'], seen=['a', 'b'], mode='relabel')
    assert kept(step) == ([1, 3], 'aabb')
    assert step['categories'] == COCO['categories']
    assert step['info'] is COCO['info']


def test_feature_cooccurrence_counts() -> None:
    table = cooccurrence_table(COCO, [['a', 'b'], ['c'], ['d']])
    rows = [(s.images, s.boxes, s.old, s.future) for s in table.steps]
    assert rows == [(3, 5, 0, 2), (4, 4, 2, 1), (1, 1, 1, 0)]
    assert table.pairs['a'] == {'a': 2, 'b': 1, 'c': 1, 'd': 0}
    text = str(cooccurrence_table(COCO, [['a', 'b'], ['c', 'd']]))
    assert '| 1 | c, d | 4 | 5 | 2 (50.0%) | 0 (0.0%) |' in text
    assert '| images with both | a | b | c | d |' in text


def test_feature_empty_image_is_listed_and_never_of_a_step() -> None:
    assert classes_per_image(COCO)[1] == {'a', 'b'}
    assert classes_per_image(COCO)[4] == set()
    assert not image_is_kept(set(), {'a'}, 'overlap')
    assert not image_is_kept(set(), {'a'}, 'disjoint')


def test_exception_unknown_mode() -> None:
    with pytest.raises(ValueError, match="mode='overlapp': expected one of overlap"):
        split_coco(COCO, keep=['c'], mode='overlapp')


def test_exception_step_without_images() -> None:
    coco = make_coco(['a', 'b'])
    with pytest.raises(ValueError, match=r"keep=\['c', 'd'\].*at least one image"):
        split_coco(coco, keep=['c', 'd'])


def test_feature_many_images_are_counted_as_one_by_one() -> None:
    random = np.random.default_rng(0)
    names = [f'kind {k}' for k in range(7)]
    coco = {
        'images': [{'id': 3 * k} for k in range(40)],
        'categories': [{'id': 10 - k, 'name': name} for k, name in enumerate(names)],
        'annotations': [
            {'image_id': 3 * int(image), 'category_id': 10 - int(kind)}
            for image, kind in random.integers(0, (40, 7), (90, 2))
        ],
    }
    steps = [names[2:5], names[:2], names[6:]]  # not all, and in another order
    table = cooccurrence_table(coco, steps)
    shown = classes_per_image(coco).values()
    assert table.pairs == {
        a: {b: sum({a, b} <= one for one in shown) for b in table.classes}
        for a in table.classes
    }
    sides: list[tuple[set[str], set[str]]] = [
        (set(), {*names[:2], names[6]}),
        ({*names[2:5]}, {names[6]}),
        ({*names[:5]}, set()),
    ]
    for row, step, others in zip(table.steps, steps, sides, strict=True):
        ours = [one for one in shown if one & set(step)]
        assert row.images == len(ours)
        assert (row.old, row.future) == tuple(
            sum(bool(one & other) for one in ours) for other in others
        )
        assert row.boxes == sum(
            10 - names.index(name) == box['category_id']
            for name in step
            for box in coco['annotations']
        )
