from __future__ import annotations

import pytest

from mmdefect.utils.checks import check_choice, name_some, repeated, some_of, visible


def test_smoke():
    check_choice('init', 'scratch', ('previous', 'scratch'))


def test_exception():
    message = "^stream.init is 'new': expected one of previous, scratch$"
    with pytest.raises(ValueError, match=message):
        check_choice('stream.init', 'new', ('previous', 'scratch'))


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
