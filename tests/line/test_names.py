"""Which names are one, and which are like each other."""

from __future__ import annotations

import pytest

from mmdefect.line.names import check_spelling, close_to, twin_of


@pytest.mark.parametrize(
    ('name', 'twin'),
    [
        ('Scratches', 'scratches'),
        ('scratches ', 'scratches'),
        ('rolled in-SCALE', 'rolled-in_scale'),
        ('scratches', None),  # it is that one
        ('scratch', None),
        ('--', None),
        ('1_11', '1-11'),
        ('11-1', None),
    ],
)
def test_feature_twins(name: str, twin: str | None) -> None:
    assert twin_of(name, ['scratches', 'rolled-in_scale', '_', '1-11']) == twin


@pytest.mark.parametrize(
    ('name', 'close'),
    [
        ('scratch', ['scratches']),
        ('scrathces', ['scratches']),
        ('crack_2', []),  # numbered
        ('crack', []),
        ('rust', []),
    ],
)
def test_feature_close(name: str, close: list[str]) -> None:
    assert close_to(name, ['scratches', 'crack_1', 'inclusion']) == close


def test_exception_spelling() -> None:
    check_spelling('it', ['a', 'b', 'a'], ['a', 'A'])
    check_spelling('it', ['a', 'A'], ['a', 'A'])  # the model tells them apart
    with pytest.raises(ValueError, match='it says a, A: expected one spelling'):
        check_spelling('it', ['a', 'b', 'A'])
    with pytest.raises(ValueError, match="it says 'B' where the model says 'b'"):
        check_spelling('it', ['a', 'B'], ['b'])
