"""Whoever changes a log with a database's own tools is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.line.log import DecisionLog
from mmdefect.line.row import COLUMNS, GENESIS, digest
from tests.helpers.line_logs import small_log, tamper

ALL = ', '.join(COLUMNS)
REST = ', '.join(COLUMNS[1:])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    log = small_log(tmp_path / 'decisions.db')
    log.close()
    return log.path


def head_of(path: Path) -> dict:
    log = DecisionLog(path)
    newest = next(log.rows(newest=True, limit=1))
    log.close()
    return {'id': newest.id, 'hash': newest.hash}


def test_smoke_whole(path: Path) -> None:
    found = DecisionLog(path).verify(head=head_of(path))
    assert (found.ok, found.rows, found.bad, found.notes) == (True, 6, None, ())
    assert found.sentence == f'{path}: 6 rows, none changed, moved or missing'
    empty = DecisionLog(path.with_name('e.db'))
    assert (empty.verify().ok, empty.verify().rows) == (True, 0)


@pytest.mark.parametrize('column', COLUMNS[1:])
def test_feature_a_changed_column(path: Path, column: str) -> None:
    value = 0.123 if column in ('score', 'threshold') else "'[]x'"
    tamper(path, f'UPDATE log SET {column} = {value} WHERE id = 3')
    found = DecisionLog(path).verify()
    assert (found.ok, found.bad, found.rows) == (False, 3, 2)
    assert 'row 3 is not the one that was written after row 2' in found.sentence


@pytest.mark.parametrize(
    ('statements', 'bad', 'why'),
    [
        (['DELETE FROM log WHERE id = 3'], 3, 'row 3 is missing'),
        (['DELETE FROM log WHERE id IN (3, 4)'], 3, 'row 3 to 4 are missing'),
        (['DELETE FROM log WHERE id = 1'], 1, 'row 1 is missing'),
        (
            [
                'DELETE FROM log WHERE id = 3',
                'UPDATE log SET id = id - 1 WHERE id > 3',
            ],
            3,
            'or the one before it is gone',
        ),
        (
            [
                'UPDATE log SET id = -3 WHERE id = 3',
                'UPDATE log SET id = 3 WHERE id = 4',
                'UPDATE log SET id = 4 WHERE id = -3',
            ],
            3,
            'it was changed, moved or put there',
        ),
        (
            [
                'UPDATE log SET id = id + 100 WHERE id > 2',
                f'INSERT INTO log SELECT 3, {REST} FROM log WHERE id = 2',
                'UPDATE log SET id = id - 99 WHERE id > 100',
            ],
            3,
            'it was changed, moved or put there',
        ),
        ([f'INSERT INTO log SELECT 0, {REST} FROM log WHERE id = 2'], 0, 'row 0 is'),
        ([f'INSERT INTO log SELECT 7, {REST} FROM log WHERE id = 2'], 7, 'row 7 is'),
    ],
)
def test_feature_rows_that_are_gone_moved_or_added(
    path: Path, statements: list[str], bad: int, why: str
) -> None:
    tamper(path, *statements)
    found = DecisionLog(path).verify()
    assert (found.ok, found.bad) == (False, bad)
    assert why in found.sentence


def test_feature_a_cut_tail(path: Path) -> None:
    """The note of the newest row shows it, and without one what was counted by day."""
    head = head_of(path)
    tamper(path, 'DELETE FROM log WHERE id > 4')
    log = DecisionLog(path)
    found = log.verify(head=head)
    assert (found.ok, found.bad, found.rows) == (False, 5, 4)
    assert 'the end is missing: row 6 was there' in found.sentence
    found = log.verify()
    assert (found.ok, found.bad) == (False, None)
    assert 'rows at its end are gone, or the tables were changed' in found.sentence
    log.rebuild()
    assert log.verify().ok
    assert not log.verify(head=head).ok


def test_feature_a_log_that_was_written_anew(path: Path) -> None:
    """Every hash fits; only who has kept one of the old ones sees it."""
    head = head_of(path)
    log = DecisionLog(path)
    rows = log.select(f'SELECT {ALL} FROM log ORDER BY id')
    before, statements = GENESIS, []
    for row in rows:
        columns = [*row[:-1]]
        columns[5] = '/photos/other.png'
        before = digest(before, columns)
        statements.append(
            f"UPDATE log SET source = '{columns[5]}', hash = '{before}' "
            f'WHERE id = {columns[0]}'
        )
    log.close()
    tamper(path, *statements)
    assert log.verify().ok
    found = log.verify(head=head)
    assert (found.ok, found.bad) == (False, 6)
    assert 'the log was written anew' in found.sentence


@pytest.mark.parametrize(
    'statement',
    [
        "UPDATE days SET count = 7 WHERE name = 'decision' AND value = 'ok'",
        "DELETE FROM days WHERE name = 'brightness'",
        "INSERT INTO days VALUES ('2026-01-01', '', '', 'decision', 'ok', 1)",
        "UPDATE days SET version = 'v0009' WHERE version = 'v0001'",
        "DELETE FROM defects WHERE defect = 'dent'",
        "UPDATE defects SET id = 3 WHERE defect = 'scratch' AND id = 2",
        "UPDATE defects SET kind = 'note'",
        "INSERT INTO defects VALUES ('crack', 3, 'decision')",
    ],
)
def test_feature_changed_derived_tables(path: Path, statement: str) -> None:
    tamper(path, statement)
    log = DecisionLog(path)
    found = log.verify()
    assert (found.ok, found.bad, found.rows) == (False, None, found.rows)
    assert '`mmdefect line verify --rebuild`' in found.sentence
    log.rebuild()
    assert log.verify().ok


def test_exception_a_damaged_page(path: Path) -> None:
    """A disk that lost something: said, and not raised."""
    log = DecisionLog(path)
    log.append_many({'kind': 'note', 'body': {'a': 'b' * 500}} for _ in range(200))
    log.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = b'\xff' * (len(content) - len(content) // 2)
    path.write_bytes(content)
    found = DecisionLog(path).verify()
    assert not found.ok
    assert str(path) in found.sentence


def test_feature_a_file_that_is_not_whole(path: Path) -> None:
    """Its rows are right, but two indexes of them have changed places."""
    both = "name IN ('log_time', 'log_version')"
    total = f'(SELECT SUM(rootpage) FROM sqlite_master WHERE {both})'
    tamper(
        path,
        'PRAGMA writable_schema = ON',
        f'UPDATE sqlite_master SET rootpage = {total} - rootpage WHERE {both}',
    )
    log = DecisionLog(path)
    found = log.verify()
    assert not found.ok
    assert 'the file is damaged (' in found.sentence
    assert 'remove decisions.db-wal and decisions.db-shm' in found.sentence
    assert log.verify(derived=False).ok
