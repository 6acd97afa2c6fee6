from __future__ import annotations

import numpy as np
import pytest

from mmdefect.utils.checks import (
    amount,
    check_choice,
    check_known,
    check_number,
    check_range,
    check_type,
    name_some,
    repeated,
    some_of,
    visible,
)


def test_smoke():
    check_choice('init', 'scratch', ('previous', 'scratch'))


def test_exception():
    message = "^stream.init='new': expected one of previous, scratch$"
    with pytest.raises(ValueError, match=message):
        check_choice('stream.init', 'new', ('previous', 'scratch'))


@pytest.mark.parametrize(
    ('value', 'bounds', 'expected'),
    [
        (-1, {'low': 0}, 'at least 0'),
        (0, {'low': 0, 'open_low': True}, 'more than 0'),
        (1.5, {'low': 0, 'high': 1}, 'at least 0 and at most 1'),
        (1, {'low': 0, 'high': 1, 'open_high': True}, 'at least 0 and less than 1'),
        (float('nan'), {'high': 1}, 'at most 1'),
        (float('nan'), {}, 'a number'),
    ],
)
def test_exception_range(value: float, bounds: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=f'^beta={value}: expected {expected}$'):
        check_range('beta', value, **bounds)


def test_feature_range_holds_its_ends() -> None:
    check_range('beta', 0, 0, 1)
    check_range('beta', 1, 0, 1)


@pytest.mark.parametrize(
    'value', ['1', None, True, [1], float('nan'), np.float32('inf'), 10**400]
)
def test_exception_no_finite_number(value: object) -> None:
    with pytest.raises(ValueError, match=r'^beta=.*: expected a finite number$'):
        check_number('beta', value)


def test_exception_no_whole_number_and_types() -> None:
    check_number('beta', np.float32(0.5), 0, 1)
    check_number('count', np.int64(3), 1, whole=True)
    with pytest.raises(ValueError, match=r'^count=1\.0: expected a whole number$'):
        check_number('count', 1.0, whole=True)
    with pytest.raises(ValueError, match=r'^count=0: expected at least 1$'):
        check_number('count', 0, 1, whole=True)
    check_type('name', 'a', str | None, expected='a name')
    with pytest.raises(ValueError, match=r'^name=5: expected a name$'):
        check_type('name', 5, str | None, expected='a name')


def test_feature_names_that_look_alike_are_told_apart() -> None:
    assert visible('Schräge 划痕.png') == 'Schräge 划痕.png'
    assert visible('\ufeffcrazing_0') == '\\ufeffcrazing_0'
    assert visible('a\u200bb\tc\xa0') == 'a\\u200bb\\tc\\xa0'
    assert visible('Schra\u0308ge') == 'Schra\\u0308ge'
    assert visible('\ud800') == '\\ud800'
    assert visible('a' * 999) == 'a' * 300 + '...'


def test_feature_repeated() -> None:
    assert repeated('bcabac') == ['b', 'c', 'a']
    assert repeated([1, 2]) == []


def test_feature_long_lists_are_shortened() -> None:
    assert name_some(list('abcdefg')) == '7: a, b, c, d, e and 2 more'
    assert name_some(['\ufeffa', 'a']) == '2: \\ufeffa, a'
    assert name_some([]) == '0'
    assert some_of(['a', 'b']) == 'a, b'
    assert some_of('abcdefg') == 'a, b, c, d, e and 2 more'


@pytest.mark.parametrize(('number', 'said'), [(0, '0 boxes'), (1, '1 box')])
def test_feature_nouns_are_counted(number: int, said: str) -> None:
    assert amount(number, 'box', 'boxes') == said
    assert amount(2, 'image') == '2 images'


def test_exception_known_names_are_told_once() -> None:
    message = "verdict names the unknown class 'rust': expected some of dent, crack$"
    with pytest.raises(ValueError, match=message):
        check_known(['rust'], ['dent', 'crack', 'dent'], what='verdict')
