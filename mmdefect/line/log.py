"""All that happens on a line, in one table that only grows: each row hashes the last.

SQLite with a write-ahead log. A row that was answered for outlives a kill of the
process; a power cut may cost the newest rows, never the chain.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from mmdefect.line.days import Day, days_of
from mmdefect.line.filters import Filters
from mmdefect.line.row import (
    COLUMNS,
    GENESIS,
    Kind,
    Row,
    checked,
    digest,
    row_of,
    utc,
    went_back,
    written,
)
from mmdefect.line.tables import connect, derive, insert, restore, told
from mmdefect.line.verify import Verified, verify

__all__ = ['Day', 'DecisionLog', 'Filters', 'Kind', 'Row', 'Verified']

#: Rows that are read at once; between them others may write.
_PAGE = 1000
_COLUMNS = ', '.join(f'log.{name}' for name in COLUMNS)


class DecisionLog:
    """A log's file, which is made if it is not there.

    May be used from several threads and processes at once, and after a fork.

    Args:
        path: Of the SQLite database.

    Raises:
        OSError: It cannot be opened or written.
        ValueError: It is no log of ours, or of a newer version.

    Example:
        >>> log = DecisionLog(Path('decisions.db'))  # doctest: +SKIP
        >>> log.append('decision', version='v0001', decision='ok').id  # doctest: +SKIP
        1
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left: list[sqlite3.Connection] = []
        self._begin()
        self._db()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._local = threading.local()
        self._open: list[tuple[threading.Thread, sqlite3.Connection]] = []
        # Threads wait for each other here: SQLite would have them sleep and look again.
        self._turn = threading.Lock()

    def close(self) -> None:
        """Close all connections; the next use opens them again."""
        if self._process == os.getpid():
            for _, db in self._open:
                db.close()
        self._begin()

    def append(
        self, kind: Kind, *, time: str | datetime | None = None, **fields: Any
    ) -> Row:
        """Write a row. When this returns, a kill of the process does not lose it.

        Args:
            kind: What happened.
            time: UTC; by default now.
            fields: The others of :class:`Row` except ``id`` and ``hash``.

        Raises:
            OSError: It cannot be written: nothing of it is there.
            ValueError: A field is unknown, or of a type that it has not.
        """
        return self.append_many([{**fields, 'kind': kind, 'time': time}])[0]

    def append_many(self, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Write rows, all or none, in one transaction.

        Args:
            rows: Of each ``kind`` and what else :meth:`append` takes.

        Raises:
            OSError, ValueError: As of :meth:`append`.
        """
        todo = [(checked(given), given.get('time')) for given in rows]
        if not todo:
            return []
        done: list[tuple[list[Any], Row]] = []
        with self._writing() as db:
            number, last, before = self._newest(db)
            for found, given in todo:
                # Not earlier: others may have written meanwhile.
                number, time = number + 1, utc(given)
                if clock := went_back(last, time):
                    found['body']['clock'] = clock
                columns = written(number, time, found)
                last, before = time, digest(before, columns)
                columns.append(before)
                done.append((columns, row_of(columns)))
            insert(db, self.path, done)
        return [row for _, row in done]

    def rows(
        self, *, newest: bool = False, limit: int | None = None, **filters: Any
    ) -> Iterator[Row]:
        """Rows in their order, of those that are there when it begins.

        Args:
            newest: The newest first.
            limit: At most so many.
            filters: ``kind``, ``image``, ``version``, ``since``, ``until`` and
                ``defect``: see :class:`.filters.Filters`.

        Raises:
            ValueError: A filter means nothing, or a row is not as it was written.
        """
        asked = Filters(**filters)
        where, values = asked.where()
        statement = (
            f'SELECT {_COLUMNS} FROM {asked.tables} WHERE {where} AND '  # noqa: S608
            f'{asked.id} > ? AND {asked.id} < ? ORDER BY {asked.id} '
            f'{"DESC" if newest else "ASC"} LIMIT ?'
        )
        (end,) = self.select('SELECT COALESCE(MAX(id), 0) FROM log')[0]
        low, high = 0, end + 1
        left = high if limit is None else limit
        while left > 0:
            size = min(left, _PAGE)
            page = self.select(statement, (*values, low, high, size))
            yield from map(row_of, page)
            if len(page) < size:
                return
            low, high = (low, page[-1][0]) if newest else (page[-1][0], high)
            left -= size

    def count(self, **filters: Any) -> int:
        """How many rows there are; arguments as for :meth:`rows`."""
        asked = Filters(**filters)
        where, values = asked.where()
        statement = f'SELECT COUNT(*) FROM {asked.tables} WHERE {where}'  # noqa: S608
        return int(self.select(statement, values)[0][0])

    def select(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """All that a SELECT gives, for the modules beside this one.

        The tables are those of :mod:`mmdefect.line.tables`.
        """
        with told(self.path):
            return self._db().execute(statement, values).fetchall()

    def verify(
        self, *, head: Mapping[str, Any] | None = None, derived: bool = True
    ) -> Verified:
        """Read all rows, and say the first that is changed, missing, moved or added.

        Args:
            head: ``id`` and ``hash`` of a row that was there: shows a cut tail.
            derived: Whether every entry of the derived tables is compared, too. Else
                their sums are, which takes a third of the time: some seconds for a
                million rows.

        Raises:
            OSError: The file cannot be read at all.
        """
        return verify(self.path, self._db(), head, derived=derived)

    def flush(self) -> None:
        """Have all rows that are there outlive a power cut; takes milliseconds.

        Raises:
            OSError: It cannot be written.
        """
        self.select('PRAGMA wal_checkpoint(PASSIVE)')

    def days(self) -> list[Day]:
        """What is kept by day, version and product, in this order: reads no rows."""
        return days_of(
            self.select('SELECT * FROM days ORDER BY day, version, product, name')
        )

    def rebuild(self) -> None:
        """Derive all that is derived from the rows anew, and put the guards back.

        Triggers that are not ours go.

        Raises:
            OSError: It cannot be written: all is as it was.
            ValueError: A row is not as it was written.
        """
        with self._writing() as db:
            restore(db)
            db.execute('DELETE FROM defects')
            db.execute('DELETE FROM days')
            low = 0
            while page := db.execute(
                f'SELECT {_COLUMNS} FROM log WHERE id > ? ORDER BY id LIMIT ?',  # noqa: S608
                (low, 10 * _PAGE),
            ).fetchall():
                derive(db, map(row_of, page))
                low = page[-1][0]

    def _db(self) -> sqlite3.Connection:
        """This thread's connection."""
        if self._process != os.getpid():
            # Of the process that has forked: not to be closed by this one.
            self._left += (db for _, db in self._open)
            self._begin()
        db: sqlite3.Connection | None = getattr(self._local, 'db', None)
        if db is None:
            db = self._local.db = connect(self.path)
            with self._turn:
                for thread, left in self._open:
                    if not thread.is_alive():
                        left.close()
                alive = [pair for pair in self._open if pair[0].is_alive()]
                self._open = [*alive, (threading.current_thread(), db)]
        return db

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is written when the block ends, or not at all."""
        db = self._db()
        with self._turn, told(self.path):
            try:
                db.execute('BEGIN IMMEDIATE')
                yield db
                db.execute('COMMIT')
            except BaseException:
                if db.in_transaction:  # SQLite may have ended it
                    db.execute('ROLLBACK')
                raise

    @staticmethod
    def _newest(db: sqlite3.Connection) -> tuple[int, str, str]:
        """Id, time and hash of the last row."""
        found = db.execute('SELECT id, time, hash FROM log ORDER BY id DESC LIMIT 1')
        return found.fetchone() or (0, '', GENESIS)
