"""A log that only grows, asked in all ways."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from mmdefect.line.log import DecisionLog, Filters
from mmdefect.line.row import GENESIS
from mmdefect.line.tables import APPLICATION, FORMAT_VERSION
from tests.helpers.line_logs import small_log


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    return small_log(tmp_path / 'decisions.db')


def ids(log: DecisionLog, **asked: object) -> list[int]:
    return [row.id for row in log.rows(**asked)]


def test_smoke_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / 'l.db')
    row = log.append(
        'decision',
        time='2026-11-30T12:00:00',
        version='v0001',
        image='a' * 64,
        source='ü\udcff.png',
        product='cable',
        decision='defective',
        score=1,
        threshold=0.1,
        kinds=('dent', 'scratch', 'dent'),
        body={'boxes': [[1, 2.5]], 'note': 'ü'},
    )
    assert [row] == [*log.rows()]
    assert row.id == 1
    assert row.time == '2026-11-30T12:00:00.000000Z'
    assert row.source == 'ü\\udcff.png'
    assert row.kinds == ('dent', 'scratch')
    assert (row.score, row.threshold) == (1.0, 0.1)
    assert row.body == {'boxes': [[1, 2.5]], 'note': 'ü'}


def test_feature_the_hash_can_be_computed_by_hand(tmp_path: Path) -> None:
    """By whoever has a JSON library and SHA-256; the golden one holds for ever."""
    log = DecisionLog(tmp_path / 'l.db')
    first = log.append('note', time='2026-11-30', score=0.5, body={'b': 1, 'a': 'ü'})
    text = (
        '[1,"2026-11-30T00:00:00.000000Z","note",null,null,null,null,null,0.5,null,'
        r'"[]","{\"a\":\"\\u00fc\",\"b\":1}"]'
    )
    assert first.hash == hashlib.sha256((GENESIS + text).encode()).hexdigest()
    second = log.append('note', time='2026-12-01')
    text = (
        '[2,"2026-12-01T00:00:00.000000Z","note",null,null,null,null,null,null,null,'
        '"[]","{}"]'
    )
    assert second.hash == hashlib.sha256((first.hash + text).encode()).hexdigest()


def test_feature_rows_by_what_is_asked(log: DecisionLog) -> None:
    assert ids(log) == [1, 2, 3, 4, 5, 6]
    assert ids(log, newest=True, limit=2) == [6, 5]
    assert ids(log, limit=0) == []
    assert ids(log, kind='decision') == [1, 2, 3, 4]
    assert ids(log, kind='verdict') == [5]
    assert ids(log, image=f'{2:064x}') == [3, 5]
    assert ids(log, version='v0002') == [4, 6]
    assert ids(log, since='2026-11-30') == [3, 4, 5, 6]
    assert ids(log, since='2026-11-29T12:00:01Z', until='2026-11-30T13:00') == [2, 3, 4]
    assert ids(log, since='2027-01-01') == []
    assert ids(log, defect='scratch') == [1, 2]
    assert ids(log, defect='dent') == [2, 5]
    assert ids(log, defect='dent', kind='verdict') == [5]
    assert ids(log, defect='dent', kind='decision', newest=True) == [2]
    assert ids(log, defect='dent', image=f'{2:064x}', since='2026-11-30') == [5]
    assert log.count() == 6
    assert log.count(defect='dent') == 2
    assert log.count(kind='decision', version='v0001') == 3


@pytest.mark.parametrize('newest', [False, True])
def test_feature_more_rows_than_a_page(tmp_path: Path, newest: bool) -> None:
    """All of them once, and none that is written meanwhile."""
    log = DecisionLog(tmp_path / 'l.db')
    log.append_many({'kind': 'note'} for _ in range(2500))
    found = []
    for row in log.rows(newest=newest):
        if row.id % 500 == 0:
            log.append('note')
        found.append(row.id)
    assert found == sorted(range(1, 2501), reverse=newest)
    assert len(ids(log, limit=1700)) == 1700


def test_feature_days(log: DecisionLog) -> None:
    first, second, third, fourth = log.days()
    assert (first.day, first.version, first.product) == ('2026-11-29', 'v0001', 'cable')
    assert (first.decisions, first.images, first.queued) == ({'defective': 2}, 2, 2)
    assert {name: sum(bins.values()) for name, bins in first.histograms.items()} == {
        'score': 2,
        'brightness': 2,
    }
    assert (second.version, second.product, second.verdicts) == (
        None,
        None,
        {'missed': 1},
    )
    assert (third.version, third.decisions) == ('v0001', {'ok': 1})
    assert (fourth.version, fourth.decisions, fourth.queued) == ('v0002', {'ok': 1}, 0)


def test_feature_rebuild(log: DecisionLog) -> None:
    tables = ('days', 'defects')
    before = [log.select(f'SELECT * FROM {name}') for name in tables]
    log.rebuild()
    assert [log.select(f'SELECT * FROM {name}') for name in tables] == before
    assert len(before[1]) == 4


@pytest.mark.parametrize(
    'asked',
    [
        {'kind': 'verdict'},
        {'image': 'a' * 64},
        {'version': 'v0001'},
        {'defect': 'dent'},
        {'defect': 'dent', 'kind': 'verdict'},
        {'defect': 'dent', 'version': 'v0001'},
        {'kind': 'decision', 'image': 'a' * 64, 'since': '2026-11-30'},
    ],
)
def test_feature_an_index_answers(log: DecisionLog, asked: dict) -> None:
    """And in the order of the rows: nothing is sorted, no row is read in vain."""
    filters = Filters(**asked)
    where, values = filters.where()
    plan = log.select(
        f'EXPLAIN QUERY PLAN SELECT log.* FROM {filters.tables} WHERE {where} AND '
        f'{filters.id} > 0 AND {filters.id} < 9 ORDER BY {filters.id} LIMIT 5',
        values,
    )
    said = [line[-1] for line in plan]
    main = [line for line in said if 'log_time' not in line]
    assert not [line for line in said if 'SCAN' in line or 'TEMP B-TREE' in line]
    index = 'PRIMARY KEY' if 'defect' in asked else 'USING INDEX'
    assert any(index in line or 'USING INDEX' in line for line in main), said


def test_feature_the_cost_of_an_append(tmp_path: Path) -> None:
    """2 ms of the processor at the 95th of a hundred; the benchmark measures it all."""
    log = DecisionLog(tmp_path / 'l.db')
    spent = []
    for number in range(300):
        began = time.process_time()
        log.append(
            'decision',
            version='v0001',
            image=hashlib.sha256(bytes([number % 256])).hexdigest(),
            decision='defective',
            score=number / 300,
            kinds=['dent'],
            body={'brightness': 90.0, 'sharpness': 20.0 + number},
        )
        spent.append(time.process_time() - began)
    assert sorted(spent)[284] <= 0.002


def test_feature_threads(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / 'l.db')

    def write() -> None:
        for _ in range(50):
            log.append('note')

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.verify().ok
    assert log.count() == 200


def test_feature_threads_that_have_ended_leave_nothing_open(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / 'l.db')
    for _ in range(20):
        thread = threading.Thread(target=log.append, args=('note',))
        thread.start()
        thread.join()
    # This thread's, and that of the last one.
    assert len(log._open) == 2
    assert log.verify().rows == 20


def test_feature_all_or_none(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / 'l.db')
    with pytest.raises(ValueError, match=r'^body=.*expected plain data'):
        log.append_many([{'kind': 'note'}, {'kind': 'note', 'body': {'a': {1}}}])
    assert log.count() == 0
    assert log.append_many([]) == []
    assert log.append('note').id == 1


def test_feature_a_clock_that_went_back(tmp_path: Path) -> None:
    """Rows keep their order; the row says so, and so does who verifies."""
    log = DecisionLog(tmp_path / 'l.db')
    log.append('note', time='2026-11-30T12:00:00')
    row = log.append('note', time='2026-11-30T11:00:00.500', body={'a': 1})
    log.append('note', time='2026-11-30T11:30:00')
    assert row.body == {'a': 1, 'clock': 'went back 3599.5 s'}
    assert ids(log, since='2026-11-30T11:30') == [1, 3]
    found = log.verify()
    assert found.ok
    assert found.notes == ('the clock went back once, at row 2: it went back 3599.5 s',)


def test_feature_a_zero_has_no_sign(tmp_path: Path) -> None:
    """A database gives -0.0 back as 0.0, of which the hash is another."""
    log = DecisionLog(tmp_path / 'l.db')
    row = log.append('decision', score=-0.0, threshold=-0.0, body={'a': -0.0})
    assert str(row.score) == str(row.threshold) == '0.0'
    assert log.verify().ok


def test_feature_times_are_utc(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / 'l.db')
    zone = timezone(timedelta(hours=2))
    row = log.append('note', time=datetime(2026, 11, 30, 1, tzinfo=zone))
    assert row.time == '2026-11-29T23:00:00.000000Z'
    now = datetime.now(timezone.utc).isoformat()
    assert log.append('note').time[:16] >= now[:16]
    with pytest.raises(ValueError, match=r'since=.*: expected a time that UTC has'):
        log.count(since='0001-01-01T00:00:00+23:59')


@pytest.mark.parametrize(
    ('given', 'why'),
    [
        ({'kind': 'decisions'}, "kind='decisions': expected one of decision, verdict"),
        ({'kind': 'note', 'hash': 'a'}, 'hash: expected fields of a row'),
        (
            {'kind': 'note', 'score': float('nan')},
            'score=nan: expected a finite number',
        ),
        ({'kind': 'note', 'version': 1}, 'version=1: expected text'),
        ({'kind': 'note', 'kinds': 'dent'}, "kinds='dent': expected names"),
        ({'kind': 'note', 'body': [1]}, r'body=\[1\]: expected an object'),
        ({'kind': 'note', 'body': {'a': float('inf')}}, 'expected plain data'),
        ({'kind': 'note', 'time': 'yesterday'}, "time='yesterday': expected a time"),
    ],
)
def test_exception_fields(log: DecisionLog, given: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        log.append_many([given])
    assert log.count() == 6


def test_exception_filters(log: DecisionLog) -> None:
    with pytest.raises(ValueError, match='kind='):
        ids(log, kind='x')
    with pytest.raises(ValueError, match="since='x': expected a time"):
        ids(log, since='x')


def test_exception_what_is_no_log(tmp_path: Path) -> None:
    other, text, newer = (tmp_path / name for name in ('o.db', 't.db', 'n.db'))
    db = sqlite3.connect(other)
    db.execute('CREATE TABLE a (b)')
    db.close()
    text.write_text('not a database at all ' * 50)
    DecisionLog(newer).close()
    db = sqlite3.connect(newer)
    db.execute(f'PRAGMA user_version = {FORMAT_VERSION + 1}')
    db.close()
    for path, why in {
        other: 'is a database of something else: expected the log of a line',
        text: 'file is not a database.*expected the log of a line',
        newer: 'format_version=2: expected at most 1, it is of a newer mmdefect',
    }.items():
        before = path.read_bytes()
        with pytest.raises(ValueError, match=why):
            DecisionLog(path)
        assert path.read_bytes() == before
    with pytest.raises(OSError, match=r'none/l\.db cannot be read or written'):
        DecisionLog(tmp_path / 'none' / 'l.db')


def test_exception_rows_are_not_changed_by_accident(log: DecisionLog) -> None:
    db = sqlite3.connect(log.path)
    assert db.execute('PRAGMA application_id').fetchone() == (APPLICATION,)
    for statement in ('UPDATE log SET kind = "note"', 'DELETE FROM log'):
        with pytest.raises(sqlite3.IntegrityError, match='rows are only appended'):
            db.execute(statement)
    db.close()


def test_exception_a_row_that_is_damaged(log: DecisionLog) -> None:
    db = sqlite3.connect(log.path)
    db.execute('DROP TRIGGER log_no_update')
    db.execute("UPDATE log SET body = '{' WHERE id = 3")
    db.commit()
    db.close()
    with pytest.raises(ValueError, match='row 3 of the log is not as it was written'):
        ids(log)
    assert json.loads(log.select('SELECT body FROM log WHERE id = 2')[0][0])
