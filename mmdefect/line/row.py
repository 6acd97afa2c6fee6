"""A row of a line's log: what it holds, how it is written, what its hash is of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import Any, Literal, cast, get_args

from mmdefect.utils.checks import (
    brief,
    check_choice,
    check_number,
    check_type,
    some_of,
)

Kind = Literal['decision', 'verdict', 'promotion', 'rollback', 'note']
#: What the first row's hash is made of in place of one before it.
GENESIS = '0' * 64


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that happened.

    Attributes:
        id: From 1, without gaps.
        time: UTC, ISO 8601 with microseconds and ``Z``.
        kind: One of :data:`Kind`.
        version: Of the model, such as ``'v0001'``.
        image: SHA-256 of the image's file; of an array or a frame ``pixels:`` and that
            of its pixels.
        source: Where the image came from, as it was called there.
        product: Which it shows.
        decision: As a prediction has it; of a verdict what was said.
        score: What was compared with the threshold.
        threshold: The one that decided.
        kinds: Of defects: found (decision) or named (verdict).
        body: All else, plain data: ``boxes`` from their threshold on, ``size``,
            ``brightness``, ``sharpness``, ``queued`` (why), ``error``, ``clock``.
        hash: SHA-256 of the hash before it and of all of the above, 64 digits.
    """

    id: int
    time: str
    kind: Kind
    version: str | None = None
    image: str | None = None
    source: str | None = None
    product: str | None = None
    decision: str | None = None
    score: float | None = None
    threshold: float | None = None
    kinds: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ''


#: Of the table, in its order; all but the last are hashed.
COLUMNS = tuple(one.name for one in fields(Row))
_TEXTS = ('version', 'image', 'source', 'product', 'decision')
_NUMBERS = ('score', 'threshold')
_GIVEN = (*_TEXTS, *_NUMBERS, 'kinds', 'body')
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(',', ':'), allow_nan=False)


def utc(time: str | datetime | None, name: str = 'time') -> str:
    """A time as rows have it; without a zone it is UTC, None is now.

    Raises:
        ValueError: It is no time.
    """
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.strip().replace('Z', '+00:00'))
        except ValueError:
            raise ValueError(
                f'{name}={brief(time)}: expected a time as 2026-11-30 or '
                '2026-11-30T14:05:00, in UTC'
            ) from None
    time = datetime.now(timezone.utc) if time is None else time
    check_type(name, time, datetime, expected='a time')
    if time.tzinfo is not None:
        try:
            time = time.astimezone(timezone.utc).replace(tzinfo=None)
        except OverflowError:
            raise ValueError(
                f'{name}={brief(str(time))}: expected a time that UTC has, of the '
                'years 1 to 9999'
            ) from None
    return f'{time.isoformat(timespec="microseconds")}Z'


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a new row, as the table has them.

    Args:
        given: ``kind``, ``time`` and whatever else is known.

    Raises:
        ValueError: One is unknown, or of a type that it has not.
    """
    if unknown := sorted({*given} - {'kind', 'time', *_GIVEN}):
        raise ValueError(
            f'{some_of(unknown)}: expected fields of a row, {", ".join(_GIVEN)}'
        )
    check_choice('kind', given.get('kind'), get_args(Kind))
    found: dict[str, Any] = {'kind': given['kind']}
    for name in _TEXTS:
        value = given.get(name)
        check_type(name, value, str | None, expected='text')
        # Names of files may be of any bytes, which a database cannot hold.
        found[name] = value and value.encode('utf-8', 'backslashreplace').decode()
    for name in _NUMBERS:
        value = given.get(name)
        if value is not None:
            check_number(name, value)
        # No -0.0: a database gives it back as 0.0, whose hash is another.
        found[name] = None if value is None else float(value) + 0.0
    kinds, body = given.get('kinds', ()), given.get('body') or {}
    if isinstance(kinds, str) or not all(isinstance(one, str) for one in kinds):
        raise ValueError(f'kinds={brief(kinds)}: expected names')
    check_type('body', body, Mapping, expected='an object')
    # Each once: a kind is counted by images.
    return found | {'kinds': [*dict.fromkeys(kinds)], 'body': dict(body)}


def written(number: int, time: str, found: Mapping[str, Any]) -> list[Any]:
    """The columns of a row but for its hash.

    Raises:
        ValueError: The body is no plain data.
    """
    content = {**found, 'id': number, 'time': time}
    try:
        content |= {name: canonical(content[name]) for name in ('kinds', 'body')}
    except (TypeError, ValueError) as error:
        raise ValueError(
            f'body={brief(found["body"])}: expected plain data that JSON can hold '
            f'({error})'
        ) from None
    return [content[name] for name in COLUMNS[:-1]]


def canonical(content: Any) -> str:
    """JSON in the one way in which it is hashed: ASCII, sorted, without spaces."""
    return _ENCODER.encode(content)


def digest(before: str, columns: Sequence[Any]) -> str:
    """The hash of a row.

    Args:
        before: Hash of the row before it.
        columns: All but its own.

    Raises:
        TypeError, ValueError: A column holds what none of ours does.
    """
    return hashlib.sha256(f'{before}{canonical([*columns])}'.encode()).hexdigest()


def row_of(columns: Sequence[Any]) -> Row:
    """A row of the table.

    Raises:
        ValueError: A column holds what none of ours does.
    """
    content = dict(zip(COLUMNS, columns, strict=True))
    try:
        content['kinds'] = tuple(json.loads(content['kinds']))
        content['body'] = json.loads(content['body'])
    except (TypeError, ValueError):
        raise ValueError(
            f'row {content["id"]} of the log is not as it was written: run `mmdefect '
            'line verify`'
        ) from None
    return cast(Row, Row(**content))


def went_back(before: str, now: str) -> str | None:
    """What a row says when the clock stood before that of the row before it."""
    if now >= before:
        return None
    times = (datetime.fromisoformat(one.rstrip('Z')) for one in (before, now))
    last, time = times
    return f'went back {(last - time).total_seconds():.6g} s'
