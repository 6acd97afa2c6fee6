from __future__ import annotations

import pytest

from mmdefect.streams.protocol import parse_protocol

NEU = [
    'crazing',
    'inclusion',
    'patches',
    'pitted_surface',
    'rolled-in_scale',
    'scratches',
]


@pytest.mark.parametrize(
    ('protocol', 'count', 'sizes'),
    [
        ('3+3', 6, [3, 3]),
        ('5+1', 6, [5, 1]),
        ('2+2+2', 6, [2, 2, 2]),
        ('6', 6, [6]),
        ('40+40', 80, [40, 40]),
        ('10-1x5', 15, [10, 1, 1, 1, 1, 1]),
        ('14-1', 15, [14, 1]),
        ('3-3x4', 15, [3, 3, 3, 3, 3]),
        (' 3 + 3 ', 6, [3, 3]),
    ],
)
def test_feature_sizes(protocol, count, sizes):
    classes = [f'class_{i}' for i in range(count)]
    steps = parse_protocol(protocol, classes)
    assert [len(step) for step in steps] == sizes
    assert [name for step in steps for name in step] == classes


def test_feature_class_lists_keep_their_order():
    steps = parse_protocol([['patches', 'crazing'], ['scratches']], NEU)
    assert steps == [['patches', 'crazing'], ['scratches']]


def test_exception_unknown_class_names_near_matches():
    message = r"unknown class 'scratch'.*did you mean 'scratches'"
    with pytest.raises(ValueError, match=message):
        parse_protocol([['crazing'], ['scratch']], NEU)


@pytest.mark.parametrize('protocol', ['3+2', '40+40', '3-1x2'])
def test_exception_does_not_add_up(protocol):
    with pytest.raises(
        ValueError,
        match=r'does not add up: its steps hold \d+ classes, '
        r'the dataset has 6',
    ):
        parse_protocol(protocol, NEU)


@pytest.mark.parametrize('protocol', ['', '3+', '3x3', 'three', '3-1x'])
def test_exception_unreadable(protocol):
    with pytest.raises(ValueError, match='cannot be read: expected step sizes'):
        parse_protocol(protocol, NEU)


@pytest.mark.parametrize('protocol', ['6+0', [['crazing'], []], []])
def test_exception_step_without_classes(protocol):
    with pytest.raises(ValueError, match='step without classes'):
        parse_protocol(protocol, NEU)


def test_exception_class_twice():
    with pytest.raises(ValueError, match="names the class 'crazing' twice"):
        parse_protocol([['crazing'], ['crazing']], NEU)


@pytest.mark.parametrize('protocol', [33, ['crazing', 'patches']])
def test_exception_type(protocol):
    with pytest.raises(TypeError, match='neither a string such as'):
        parse_protocol(protocol, NEU)
