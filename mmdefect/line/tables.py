"""The tables of a log's file: one that is written, and two that are derived from it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from mmdefect.line.histogram import bin_of
from mmdefect.line.row import COLUMNS, Row

FORMAT_VERSION = 1
#: 'mmdl', by which a file is told from other databases.
APPLICATION = 0x6D6D646C
#: Numbers of a decision that are counted by day; all but the score are in its body.
MEASURES = ('score', 'brightness', 'sharpness', 'distance')
#: What else belongs to the file would be read into the older one, and ruin it.
RESTORE = (
    'stop what uses the line, remove decisions.db-wal and decisions.db-shm, then '
    'restore decisions.db, head.json and verified.json from one backup'
)
#: Seconds that a writer waits for others.
PATIENCE = 10
# What is written goes to the file itself every 16 MB: that takes some 10 ms.
_CHECKPOINT_PAGES = 4000

_SCHEMA = """
CREATE TABLE log (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, version TEXT,
    image TEXT, source TEXT, product TEXT, decision TEXT, score REAL, threshold REAL,
    kinds TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX log_time ON log (time);
CREATE INDEX log_version ON log (version);
CREATE INDEX log_image ON log (image) WHERE image IS NOT NULL;
CREATE INDEX log_kind ON log (kind) WHERE kind <> 'decision';
CREATE TABLE defects (
    defect TEXT NOT NULL, id INTEGER NOT NULL, kind TEXT NOT NULL,
    PRIMARY KEY (defect, id)
) WITHOUT ROWID;
CREATE INDEX defects_kind ON defects (defect, id) WHERE kind <> 'decision';
CREATE TABLE days (
    day TEXT NOT NULL, version TEXT NOT NULL, product TEXT NOT NULL,
    name TEXT NOT NULL, value NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (day, version, product, name, value)
) WITHOUT ROWID;
CREATE TRIGGER log_no_update BEFORE UPDATE ON log
    BEGIN SELECT RAISE(ABORT, 'rows are only appended'); END;
CREATE TRIGGER log_no_delete BEFORE DELETE ON log
    BEGIN SELECT RAISE(ABORT, 'rows are only appended'); END;
"""
_INSERT = f'INSERT INTO log VALUES ({", ".join("?" * len(COLUMNS))})'  # noqa: S608
_COUNT = """INSERT INTO days VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET count = count + excluded.count"""

DayKey: TypeAlias = tuple[str, str, str, str, Any]
"""Day, version, product, name, value: with the kind of a row as the name the value is
its decision; with ``'queued'`` it is 1; with one of :data:`MEASURES` it is a bin."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a log's file, and make its tables if it is new.

    Raises:
        OSError: It cannot be opened or written.
        ValueError: It is no log of ours, or of a newer version.
    """
    with told(path):
        db = sqlite3.connect(
            path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            if _is_new(db, path):
                _create(db)
            db.execute('PRAGMA synchronous = NORMAL')
            db.execute(f'PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}')
        except BaseException:
            db.close()
            raise
    return db


def _is_new(db: sqlite3.Connection, path: Path) -> bool:
    (application,) = db.execute('PRAGMA application_id').fetchone()
    (version,) = db.execute('PRAGMA user_version').fetchone()
    (tables,) = db.execute('SELECT COUNT(*) FROM sqlite_master').fetchone()
    if application != APPLICATION and (application or version or tables):
        raise ValueError(
            f'{path} is a database of something else: expected the log of a line; '
            'check where it comes from'
        )
    if version > FORMAT_VERSION:
        raise ValueError(
            f'{path} has format_version={version}: expected at most {FORMAT_VERSION}, '
            'it is of a newer mmdefect; update mmdefect'
        )
    return bool(application != APPLICATION)


def _create(db: sqlite3.Connection) -> None:
    db.execute('PRAGMA journal_mode = WAL')
    db.execute('BEGIN IMMEDIATE')
    try:
        # Another process may have been first.
        if not db.execute('PRAGMA application_id').fetchone()[0]:
            for statement in _statements():
                db.execute(statement)
            db.execute(f'PRAGMA user_version = {FORMAT_VERSION}')
            db.execute(f'PRAGMA application_id = {APPLICATION}')
        db.execute('COMMIT')
    except BaseException:
        if db.in_transaction:
            db.execute('ROLLBACK')
        raise


def _statements() -> Iterator[str]:
    """One by one: `executescript` would end the transaction."""
    text = ''
    for line in _SCHEMA.strip().splitlines():
        text += f'{line}\n'
        if sqlite3.complete_statement(text):
            yield text
            text = ''


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Say in one sentence what SQLite says of a file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if 'locked' in str(error):
            raise OSError(
                f'{path} is being written by others for more than {PATIENCE} s: '
                'expected a turn; try again, or stop them'
            ) from error
        raise OSError(
            f'{path} cannot be read or written ({error}): expected a place that can be '
            'written; check its rights and the space left'
        ) from error
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f'{path} cannot be read ({error}): expected the log of a line; {RESTORE}'
        ) from error


def insert(
    db: sqlite3.Connection, path: Path, rows: Iterable[tuple[list[Any], Row]]
) -> None:
    """Write rows and what is derived of them, in the transaction that is open.

    Args:
        path: For messages.
        rows: The columns of each, in the order of their ids, and what they say.

    Raises:
        OSError: What was written is not what was given: a trigger stands between.
    """
    columns, told_of = zip(*rows, strict=True)
    db.executemany(_INSERT, columns)
    derive(db, told_of)
    first = columns[0][0]
    there = db.execute('SELECT * FROM log WHERE id >= ? ORDER BY id', (first,))
    if there.fetchall() != [*map(tuple, columns)]:
        raise OSError(
            f'{path} did not take row {first} as it was given: expected a log '
            'without triggers of others; see `mmdefect line verify`'
        )


def altered(db: sqlite3.Connection) -> list[str]:
    """What a file has that a log has not, lacks, or has in another form: in words.

    A trigger of somebody else swallows rows; without ours they can be changed.
    """
    ours, there = _objects_of_ours(), _objects(db)
    words = {
        'is missing': ours.keys() - there.keys(),
        'is not ours': there.keys() - ours.keys(),
        'was changed': {one for one in ours if there.get(one, ours[one]) != ours[one]},
    }
    return sorted(
        f'the {" ".join(one)} {what}' for what, some in words.items() for one in some
    )


def restore(db: sqlite3.Connection) -> None:
    """Drop what is not ours; make ours that are missing.

    In the transaction that is open. Tables of ours are left as they are.
    """
    ours, there = _objects_of_ours(), _objects(db)
    for (kind, name), text in there.items():
        known = ours.get((kind, name))
        if known is None or (kind != 'table' and known != text):
            quoted = name.replace('"', '""')  # its table may have taken it along
            db.execute(f'DROP {kind} IF EXISTS "{quoted}"')
    kept = _objects(db)
    for one, text in ours.items():
        if one not in kept:
            db.execute(text)


def _objects(db: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Kind and name -> how it was made, of all but what SQLite keeps for itself."""
    found = db.execute('SELECT type, name, sql FROM sqlite_master')
    return {
        (kind, name): ' '.join((text or '').split())
        for kind, name, text in found
        if kind == 'trigger' or not name.startswith('sqlite_')
    }


@cache
def _objects_of_ours() -> dict[tuple[str, str], str]:
    with closing(sqlite3.connect(':memory:')) as db:
        for statement in _statements():
            db.execute(statement)
        return _objects(db)


def derive(db: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Add what rows say to the derived tables."""
    counts: Counter[DayKey] = Counter()
    defects: list[tuple[str, int, str]] = []
    for row in rows:
        counts.update(day_keys(row))
        defects += ((defect, row.id, row.kind) for defect in row.kinds)
    db.executemany('INSERT INTO defects VALUES (?, ?, ?)', defects)
    db.executemany(_COUNT, ((*key, count) for key, count in counts.items()))


def day_keys(row: Row) -> list[DayKey]:
    """What a row counts as in the table of days."""
    where = (row.time[:10], row.version or '', row.product or '')
    found: list[DayKey] = [(*where, row.kind, row.decision or '')]
    if row.kind != 'decision':
        return found
    if row.body.get('queued'):
        found.append((*where, 'queued', 1))
    for name in MEASURES:
        value = row.score if name == 'score' else row.body.get(name)
        if isinstance(value, int | float):
            found.append((*where, name, bin_of(value)))
    return found
