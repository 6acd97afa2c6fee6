"""What messages have in common: names cut short, made visible, and told apart."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from numbers import Integral, Real
from types import UnionType
from typing import Any, TypeVar

T = TypeVar('T')


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        ValueError: Naming the setting, the value and what there is.
    """
    if value not in choices:
        expected = ', '.join(map(str, choices))
        raise ValueError(f'{name}={value!r}: expected one of {expected}')


def check_range(
    name: str,
    value: float,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Refuse a number outside an interval; NaN is outside of every one.

    With ``open_low`` or ``open_high`` that end itself is refused, too.

    Raises:
        ValueError: Naming the setting, the value and the interval.
    """
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if above and below:
        return
    least = f'{"more than" if open_low else "at least"} {low}'
    most = f'{"less than" if open_high else "at most"} {high}'
    bounds = [least] * math.isfinite(low) + [most] * math.isfinite(high)
    expected = ' and '.join(bounds) or 'a number'
    raise ValueError(f'{name}={value!r}: expected {expected}')


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    whole: bool = False,
) -> None:
    """Refuse what is no finite number in an interval: text, None, True, NaN.

    With ``whole`` a float is refused, too.

    Raises:
        ValueError: Naming the setting, the value and what is expected.
    """
    kind = Integral if whole else Real
    number = isinstance(value, kind) and not isinstance(value, bool)
    if not number or not _is_finite(value):
        expected = 'a whole number' if whole else 'a finite number'
        raise ValueError(f'{name}={visible(repr(value)[:80])}: expected {expected}')
    check_range(name, value, low, high)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False


def check_type(name: str, value: Any, kind: type | UnionType, *, expected: str) -> None:
    """Refuse a value of another type.

    Raises:
        ValueError: Naming the setting, the value and what is expected.
    """
    if not isinstance(value, kind):
        raise ValueError(f'{name}={visible(repr(value)[:80])}: expected {expected}')


def visible(text: str) -> str:
    """Write characters that cannot be seen as their codes, e.g. that of a BOM.

    Two names that differ are then printed differently: a byte order mark, a space of
    no width, an accent stored as a character of its own. Text is cut at 300 characters.
    """
    if len(text) > 300:
        text = f'{text[:300]}...'
    apart = unicodedata.normalize('NFC', text) != text
    return ''.join(
        char
        if char.isprintable() and not (apart and unicodedata.combining(char))
        else char.encode('unicode_escape').decode()
        for char in text
    )


def name_some(items: Sequence[str], limit: int = 5) -> str:
    """Count the items and name the first few, e.g. ``'2: a.jpg, b.jpg'``."""
    return f'{len(items)}: {some_of(items, limit)}' if items else '0'


def amount(number: int, one: str, several: str = '') -> str:
    """A number and its noun, e.g. ``'1 image'``, ``'2 images'``.

    Args:
        number: How many.
        one: The noun.
        several: Its plural, if that is not with an ``s``.
    """
    return f'{number} {one if number == 1 else several or f"{one}s"}'


def some_of(items: Sequence[str], limit: int = 5) -> str:
    """Name the first few items, e.g. ``'a.jpg, b.jpg and 3 more'``."""
    more = f' and {len(items) - limit} more' if len(items) > limit else ''
    return ', '.join(map(visible, items[:limit])) + more


def repeated(items: Iterable[T]) -> list[T]:
    """Those that are there more than once, in the order of the first of each."""
    return [item for item, count in Counter(items).items() if count > 1]


def brief(value: Any) -> str:
    """A value of the file, short and in one line."""
    if value is None:
        return 'null'
    if isinstance(value, dict):
        return f'an object of {len(value)} entries'
    if isinstance(value, list):
        if len(value) > 6 or any(isinstance(one, list | dict) for one in value):
            return f'a list of {len(value)} entries'
        return f'[{", ".join(map(brief, value))}]'
    return visible(repr(value)[:80])


def check_known(names: Iterable[str], known: Sequence[str], *, what: str) -> None:
    """Raise ValueError when a class name is unknown, naming near matches.

    Args:
        what: Where the names were asked for, e.g. ``'keep_classes'``.

    Raises:
        ValueError: If a name is not in ``known`` or occurs twice.
    """
    seen: set[str] = set()
    known = [*dict.fromkeys(known)]
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=3)
            hint = f'; did you mean {_visible(near)}?' if near else ''
            raise ValueError(
                f"{what} names the unknown class '{visible(name)}': expected some of "
                f'{_visible(known)}{hint}'
            )
        if name in seen:
            raise ValueError(
                f'{what} names the class {name!r} twice: expected each class once; '
                'remove one of them'
            )
        seen.add(name)


def _visible(names: Iterable[str]) -> str:
    return ', '.join(map(visible, names))
