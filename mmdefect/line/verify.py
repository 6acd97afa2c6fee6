"""Whether a log is as it was written: every row, their chain, what is derived of it."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mmdefect.line.row import COLUMNS, GENESIS, Kind, Row, digest, row_of
from mmdefect.line.tables import RESTORE, altered, day_keys, told
from mmdefect.utils.checks import some_of

_ROWS = f'SELECT {", ".join(COLUMNS)} FROM log ORDER BY id'  # noqa: S608
_KIND, _KINDS = COLUMNS.index('kind'), COLUMNS.index('kinds')
_REBUILD = 'derive them anew with `mmdefect line verify --rebuild`'


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What reading the whole log has shown.

    Attributes:
        ok: Whether the chain is whole and what is derived from it agrees.
        rows: How many were read and are right.
        bad: The first row that is wrong, by its id; None if none is.
        sentence: All that in one line.
        notes: What is no error, e.g. that the clock went back.
    """

    ok: bool
    rows: int
    bad: int | None = None
    sentence: str
    notes: tuple[str, ...] = ()


class _WrongError(Exception):
    """Why a log is not as it was written."""

    def __init__(self, why: str, bad: int | None = None) -> None:
        super().__init__(why)
        self.bad = bad


class _Reading:
    """All rows of a log, one after the other.

    Args:
        db: Open.
        derived: Whether each entry of the derived tables is compared, or their sums.
    """

    def __init__(self, db: sqlite3.Connection, *, derived: bool) -> None:
        self.db = db
        self.derived = derived
        self.rows = 0
        self.hash = GENESIS
        self.days: Counter[tuple[Any, ...]] = Counter()
        self.kinds: Counter[str] = Counter()
        self.defects = 0
        self.back: list[tuple[int, str]] = []

    def read(self, head: Mapping[str, Any] | None) -> None:
        for columns in self.db.execute(_ROWS):
            self._row(columns)
            if head is not None and self.rows == head['id']:
                self._compare(head)
        if head is not None and head['id'] > self.rows:
            raise _WrongError(
                f'the end is missing: row {head["id"]} was there when this log was '
                f'last seen whole, now there are {_counted(self.rows)}',
                self.rows + 1,
            )
        self._derived()
        if self.derived:
            self._file()
        if wrong := altered(self.db):
            raise _WrongError(
                f'the tables and guards of the file are not those of a log '
                f'({some_of(wrong)}): rows may have been swallowed or changed; compare '
                'with a backup, then put them back with `mmdefect line verify '
                '--rebuild`'
            )

    def _row(self, columns: tuple[Any, ...]) -> None:
        number, expected = columns[0], self.rows + 1
        if number > expected:
            missing = 'is' if number == expected + 1 else f'to {number - 1} are'
            raise _WrongError(f'row {expected} {missing} missing', expected)
        try:
            right = digest(self.hash, columns[:-1]) == columns[-1]
            row = row_of(columns) if right and self.derived else None
            defects = len(json.loads(columns[_KINDS]))
        except (TypeError, ValueError):
            right = False
        if not right or number < expected:
            raise _WrongError(
                f'row {number} is not the one that was written after row {number - 1}: '
                'it was changed, moved or put there, or the one before it is gone',
                number,
            )
        self.rows, self.hash = number, columns[-1]
        self.defects += defects
        self.kinds[columns[_KIND]] += 1
        if row is not None:
            self._content(row)

    def _content(self, row: Row) -> None:
        """What is derived of a row, and what it says of the clock."""
        self.days.update(day_keys(row))
        for defect in row.kinds:
            self._defect(defect, row.id, row.kind)
        if 'clock' in row.body:
            self.back.append((row.id, str(row.body['clock'])))

    def _defect(self, defect: str, number: int, kind: str) -> None:
        found = self.db.execute(
            'SELECT kind FROM defects WHERE defect = ? AND id = ?', (defect, number)
        ).fetchone()
        if found != (kind,):
            raise _WrongError(
                f'the table of defects does not tell of row {number}: {_REBUILD}'
            )

    def _compare(self, head: Mapping[str, Any]) -> None:
        if self.hash != head['hash']:
            raise _WrongError(
                f'row {self.rows} is another than when this log was last seen whole: '
                'the log was written anew',
                self.rows,
            )

    def _derived(self) -> None:
        (defects,) = self.db.execute('SELECT COUNT(*) FROM defects').fetchone()
        if defects != self.defects or self._counted_otherwise():
            raise _WrongError(
                'the tables of defects and days tell of other rows than the log has: '
                'rows at its end are gone, or the tables were changed; compare with a '
                f'backup, or {_REBUILD}'
            )

    def _file(self) -> None:
        """Refuse what SQLite does not find whole.

        An older file may have met a newer write-ahead log.
        """
        (found,) = self.db.execute('PRAGMA integrity_check(1)').fetchone()
        if found != 'ok':
            raise _WrongError(f'the file is damaged ({found}); {RESTORE}')

    def _counted_otherwise(self) -> bool:
        """Whether the table of days counts other rows."""
        if self.derived:
            days = {tuple(key): n for *key, n in self.db.execute('SELECT * FROM days')}
            return days != dict(self.days)
        sums = dict(self.db.execute('SELECT name, SUM(count) FROM days GROUP BY name'))
        return any(sums.get(one, 0) != self.kinds[one] for one in get_args(Kind))

    def notes(self) -> tuple[str, ...]:
        if not self.back:
            return ()
        (number, said), times = self.back[0], len(self.back)
        often = f'{times} times, first' if times > 1 else 'once,'
        return (f'the clock went back {often} at row {number}: it {said}',)


def _counted(rows: int) -> str:
    return f'{rows} row{"" if rows == 1 else "s"}'


def verify(
    path: Path,
    db: sqlite3.Connection,
    head: Mapping[str, Any] | None,
    *,
    derived: bool = True,
) -> Verified:
    """Read all of a log as it is now, whatever is written meanwhile.

    Args:
        path: For messages.
        db: Open, without a transaction.
        head: ``id`` and ``hash`` of a row that was there.
        derived: Whether all that is derived is compared, not only its sums.

    Raises:
        OSError: It cannot be read at all.
    """
    reading = _Reading(db, derived=derived)
    bad: int | None = None
    try:
        with told(path):
            try:
                db.execute('BEGIN')
                reading.read(head)
            finally:
                if db.in_transaction:
                    db.execute('ROLLBACK')
    except _WrongError as wrong:
        why, bad = str(wrong), wrong.bad
    except ValueError as error:
        why = str(error)
    else:
        return Verified(
            ok=True,
            rows=reading.rows,
            sentence=f'{path}: {_counted(reading.rows)}, none changed, moved or '
            'missing',
            notes=reading.notes(),
        )
    return Verified(
        ok=False,
        rows=reading.rows,
        bad=bad,
        sentence=f'{path}: {why}',
        notes=reading.notes(),
    )
