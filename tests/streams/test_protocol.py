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
        ('6', 6, [6]),
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


@pytest.mark.parametrize(
    ('protocol', 'message'),
    [
        ([['crazing'], ['scratch']], "unknown class 'scratch'.*did you mean scratches"),
        ([['crazing'], ['crazing']], "names the class 'crazing' twice"),
        ('3+2', 'does not add up: expected steps of the 6 classes .*, not of 5'),
        ('40+40', 'does not add up'),
        ('3-1x2', 'does not add up'),
        ('', "protocol='': expected step sizes"),
        ('3+', 'expected step sizes'),
        ('3x3', 'expected step sizes'),
        ('three', 'expected step sizes'),
        ('3-1x', 'expected step sizes'),
        ('6+0', 'expected a class in every step'),
        ([['crazing'], []], 'expected a class in every step'),
        ([], 'expected a class in every step'),
    ],
)
def test_exception(protocol, message):
    with pytest.raises(ValueError, match=message):
        parse_protocol(protocol, NEU)


@pytest.mark.parametrize('protocol', [33, ['crazing', 'patches']])
def test_exception_type(protocol):
    with pytest.raises(TypeError, match='expected a string such as'):
        parse_protocol(protocol, NEU)
