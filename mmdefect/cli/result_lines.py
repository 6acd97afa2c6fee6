"""Lines of results in a file, which a kill may have cut and a hand may have edited."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmdefect.deploy.spec import DECISIONS


class Place(NamedTuple):
    """Where a result stands: the file, the offset of its line, whether it failed.

    And ``stamp``, the size and time of the image or video that it was made of.
    """

    path: Path
    offset: int
    failed: bool
    stamp: Any = None


def lines_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Offset and content of the lines of a file; one without an end is being written.

    Raises:
        ValueError: A line holds something else.
    """
    if not path.is_file():
        return
    with path.open('rb') as file:
        offset = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b'\n'):
                return
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if not _is_result(record):
                raise ValueError(
                    f'{path}, line {number}: expected a result; remove the line, or '
                    'give another --out'
                )
            yield offset, record
            offset += len(line)


def _is_result(record: Any) -> bool:
    """Whether a line has what is read of it here."""
    return (
        isinstance(record, dict)
        and isinstance(record.get('source'), str)
        and record.get('decision') in DECISIONS
        and _are_numbers(record.get('size'), 2)
        and isinstance(record.get('error', ''), str)
        and isinstance(found := record.get('coco', []), list)
        and all(
            isinstance(one, dict) and _are_numbers(one.get('bbox'), 4) for one in found
        )
    )


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(isinstance(value, int | float) for value in values)
    )


def line_at(place: Place) -> bytes:
    """The line that a result is."""
    with place.path.open('rb') as file:
        file.seek(place.offset)
        return file.readline()


def drop_torn_line(path: Path) -> None:
    """Remove half a line at the end, which a kill has left."""
    if not path.is_file():
        return
    with path.open('rb') as file:
        last = next(iter(deque(file, maxlen=1)), b'')
    if not last.endswith(b'\n'):
        os.truncate(path, path.stat().st_size - len(last))
