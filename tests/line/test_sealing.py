"""Whoever edits a line's files by hand is found out before anything hangs on them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmdefect.line.exams import ADDED
from mmdefect.line.folder import Line
from mmdefect.line.log import DecisionLog
from mmdefect.line.promote import promote, rollback
from mmdefect.line.record import Recorder
from mmdefect.line.row import COLUMNS, GENESIS, digest
from mmdefect.line.sealing import check_log, seal
from mmdefect.line.status import status
from mmdefect.utils.files import file_sha256
from tests.helpers import exam_toys as toys
from tests.helpers.line_logs import tamper


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """Two versions, both of which find all of an exam; the second is in use."""
    line = toys.boxes_line(tmp_path)
    promote(line, toys.box_package(tmp_path / 'second'))
    return line


def edit(path: Path, change: Callable[[dict], object]) -> None:
    """Change a JSON file."""
    content = json.loads(path.read_text(encoding='utf-8'))
    change(content)
    path.write_text(json.dumps(content, indent=2), encoding='utf-8')


def never_alarm(line: Line, version: str) -> Path:
    """Edit the thresholds of a version: it misses all, and so may the next one."""
    path = line.versions_dir / version / 'package.json'
    edit(path, lambda it: it.update(thresholds={'dent': 1.0, 'crack': 1.0}))
    return path


def rows_of(line: Line) -> list[tuple]:
    columns = ', '.join(COLUMNS)
    return line.log.select(f'SELECT {columns} FROM log ORDER BY id')


def forge(line: Line, number: int, body: dict, *, rest: bool) -> None:
    """Write a row anew with a hash that fits; with ``rest`` all after it, too."""
    rows = [[*row] for row in rows_of(line)]
    place = COLUMNS.index('body')
    rows[number - 1][place] = json.dumps(body, sort_keys=True, separators=(',', ':'))
    before = rows[number - 2][-1] if number > 1 else GENESIS
    line.log.close()
    for row in rows[number - 1 :][: None if rest else 1]:
        row[-1] = before = digest(before, row[:-1])
        quoted = row[place].replace("'", "''")
        tamper(
            line.db_path,
            f"UPDATE log SET body = '{quoted}', hash = '{before}' WHERE id = {row[0]}",
        )


def weaken(line: Line, *, rest: bool) -> None:
    """Edit an exam, and the row that has its hash."""
    path = line.exams_dir / 'frozen/exam.json'
    edit(path, lambda it: it['limits'].update(lose=1.0))
    (row,) = (one for one in line.log.rows(kind='note') if one.body['what'] == ADDED)
    body = {**row.body, 'sha256': file_sha256(path)}
    forge(line, row.id, body, rest=rest)


def test_exception_an_edited_package_in_use(line: Line, tmp_path: Path) -> None:
    """Wherever it is opened; who forces another has it written down."""
    path = never_alarm(line, 'v0002')
    blind = toys.blind_package(tmp_path / 'blind')
    why = re.escape(f'{path} is not the file that was promoted as v0002')
    uses: list[Callable[[], object]] = [
        line.package,
        lambda: line.package('v0002'),
        lambda: promote(line, blind),
        lambda: Recorder(line, version='v0002'),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=why) as error:
            use()
        assert '\n' not in str(error.value)
    found = line.verify()
    assert not found.ok
    assert str(path) in found.sentence
    assert line.package('v0001').is_dir()
    forced = promote(line, blind, force=True, why='the disk was damaged')
    assert str(path) in forced.notes[0]
    assert next(line.log.rows(kind='promotion', newest=True)).body['notes'] == [
        *forced.notes
    ]


def test_exception_an_edited_package_that_is_gone_back_to(line: Line) -> None:
    path = never_alarm(line, 'v0001')
    with pytest.raises(ValueError, match='not the file that was promoted as v0001'):
        rollback(line)
    assert line.current() == 'v0002'
    assert str(path) in line.verify().sentence


def test_exception_a_damaged_graph_is_found_by_verify(line: Line) -> None:
    (line.versions_dir / 'v0001/model.onnx').write_bytes(b'other')
    found = line.verify()
    assert (found.ok, found.rows) == (False, len(rows_of(line)))
    assert 'model.onnx has changed since it was exported' in found.sentence


def test_exception_a_package_that_nobody_promoted(line: Line, tmp_path: Path) -> None:
    toys.blind_package(line.versions_dir / 'v0007')
    for act in (line.package, lambda name: rollback(line, name)):
        with pytest.raises(ValueError, match='v0007 is no version that the log knows'):
            act('v0007')


@pytest.mark.parametrize('rest', [False, True])
def test_exception_an_edited_exam_and_its_row(
    line: Line, tmp_path: Path, rest: bool
) -> None:
    """Whether the row alone was written anew or all after it, too."""
    blind = toys.blind_package(tmp_path / 'blind')
    weaken(line, rest=rest)
    what = 'the log was written anew' if rest else 'is not the one that was written'
    for act in (lambda: promote(line, blind), lambda: rollback(line)):
        with pytest.raises(ValueError, match=what) as error:
            act()
        assert '--force --why' in str(error.value)
    assert line.current() == 'v0002'


def test_feature_a_broken_log_is_forced_and_written_down(
    line: Line, tmp_path: Path
) -> None:
    """And stays wrong for good."""
    tamper(line.db_path, "UPDATE log SET time = '2020' WHERE id = 2")
    package = toys.box_package(tmp_path / 'third')
    found = promote(line, package, force=True, why='there is no backup')
    assert (found.version, found.passed, found.forced) == ('v0003', True, True)
    assert found.notes[0].startswith('the log was not as it was written: ')
    assert 'row 2 is not the one' in found.notes[0]
    (row,) = line.log.rows(kind='promotion', version='v0003')
    assert row.body['notes'] == [*found.notes]
    assert not line.verify().ok


def test_feature_a_cut_log_is_not_sealed(line: Line, tmp_path: Path) -> None:
    head = line.head()
    assert head is not None
    tamper(line.db_path, f'DELETE FROM log WHERE id = {head["id"]}')
    line.log.close()
    line.log.rebuild()
    with pytest.raises(ValueError, match='was cut or written anew'):
        line.seal()
    with pytest.raises(ValueError, match='the end is missing'):
        promote(line, toys.box_package(tmp_path / 'third'))
    again = toys.box_package(tmp_path / 'fourth')
    found = promote(line, again, force=True, why='there is no backup')
    assert 'the end is missing' in found.notes[0]
    assert json.loads((line.folder / 'head.json.before').read_text()) == head
    assert line.verify().ok
    assert rollback(line) == 'v0001'


def test_feature_a_forced_rollback(line: Line) -> None:
    """By a log without the row that was known: written down, and then it holds."""
    (line.folder / 'head.json').write_bytes(b'')
    with pytest.raises(ValueError, match='--force --why'):
        rollback(line)
    with pytest.raises(ValueError, match='reason of whoever goes back'):
        rollback(line, force=True)
    assert rollback(line, force=True, why='there is no backup') == 'v0001'
    (row,) = line.log.rows(kind='rollback')
    assert row.body['forced'] is True
    assert row.body['notes'][0].startswith('the log was not as it was written: ')
    assert status(line).history[-1].by == 'forced rollback'
    assert line.verify().ok
    assert rollback(line, 'v0002') == 'v0002'


def test_feature_a_backup_is_put_back(line: Line, tmp_path: Path) -> None:
    """With all three files at once; with two it is said what the third one knows."""
    names = ('decisions.db', 'head.json', 'verified.json')
    line.verify()
    line.log.close()
    kept = {name: (line.folder / name).read_bytes() for name in names}
    line.log.append_many([{'kind': 'decision', 'decision': 'ok'}] * 5)
    assert line.verify().ok
    line.log.close()
    for name in names[:2]:
        (line.folder / name).write_bytes(kept[name])
    for suffix in ('-wal', '-shm'):
        line.db_path.with_name(f'{line.db_path.name}{suffix}').unlink(missing_ok=True)
    for why in ('ends at row 3', 'has another row 8'):
        assert f'{why}, and {line.folder}/verified.json knows row 8' in (
            line.verify().sentence
        )
        with pytest.raises(ValueError, match=why):
            rollback(line)
        line.log.append_many([{'kind': 'decision', 'decision': 'defective'}] * 5)
    (line.folder / names[2]).write_bytes(kept[names[2]])
    assert line.verify().ok
    assert rollback(line) == 'v0001'


def test_feature_seals_wait_for_each_other(line: Line) -> None:
    """A slow verification beside a promotion or another one lowers nothing."""

    def verified(folder: Path) -> bool:
        own = Line(folder)
        return all(own.verify().ok for _ in range(5))

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(verified, line.folder) for _ in range(3)]
        while not all(one.done() for one in asked):
            line.log.append('decision', decision='ok')
            line.seal()
        assert all(one.result() for one in asked)
    assert line.verify().ok


def test_feature_a_cut_end_shows_in_the_sums(line: Line) -> None:
    """Of rows that came after the last seal."""
    rows = [{'kind': 'decision', 'decision': 'ok', 'kinds': ['a']}, {'kind': 'verdict'}]
    for row in rows:
        line.log.append_many([row])
        assert check_log(line) is None
        (line.folder / 'head.json').write_text(
            json.dumps({'id': 1, 'hash': rows_of(line)[0][-1]})
        )
        tamper(line.db_path, 'DELETE FROM log WHERE id = (SELECT MAX(id) FROM log)')
        with pytest.raises(ValueError, match='rows at its end are gone'):
            check_log(line)
        line.log.rebuild()


def test_feature_a_copy_of_before_the_first_promotion(tmp_path: Path) -> None:
    """Verify says to promote the package of the version in use; so that goes."""
    line = Line.create(tmp_path / 'line')
    package = toys.box_package(tmp_path / 'package')
    line.log.close()
    kept = line.db_path.read_bytes()
    promote(line, package)
    line.log.close()
    line.db_path.write_bytes(kept)
    (line.folder / 'head.json').unlink()
    opened = Line(line.folder)
    assert 'promote its package, or stop what uses' in opened.verify().sentence
    assert promote(opened, package).version == 'v0002'


def test_feature_notes_of_before_are_all_kept(line: Line) -> None:
    head = line.folder / 'head.json'
    kept = [line.head()]
    for _ in range(2):
        line.log.append('note')
        seal(line, anew=True)
        kept.append(line.head())
    for name, content in zip(('.before', '.before2', ''), kept, strict=True):
        path = head.with_name(f'{head.name}{name}')
        assert json.loads(path.read_text()) == content


@pytest.mark.parametrize('name', ['head.json', 'verified.json'])
def test_exception_notes_that_a_disk_has_lost(line: Line, name: str) -> None:
    """An empty file: it is said what to do, and all else is told."""
    line.verify()
    (line.folder / name).write_bytes(b'')
    cure = {'head.json': 'put the copy', 'verified.json': 'remove it, and run'}[name]
    with pytest.raises(ValueError, match=cure):
        line.verify()
    found = status(line)
    assert found.version == 'v0002'
    if name == 'verified.json':
        assert found.verified is not None
        assert (found.verified['ok'], found.verified['rows']) == (False, 0)
        assert cure in found.verified['sentence']


@pytest.mark.parametrize('number', [0, -1, True, 2.0, 10**24])
def test_exception_a_head_that_knows_no_row(line: Line, number: object) -> None:
    edit(line.folder / 'head.json', lambda it: it.update(id=number))
    with pytest.raises(ValueError, match=r'head\.json holds .* put the copy'):
        line.verify()


def test_feature_a_head_that_is_gone_or_old(line: Line, tmp_path: Path) -> None:
    """After a promotion, or after a verification that has seen more."""
    path = line.folder / 'head.json'
    kept = path.read_bytes()
    path.unlink()
    for _ in range(2):  # the first answer is not the reason of another second one
        found = line.verify()
        assert not found.ok
        assert f'{path} is gone' in found.sentence
    with pytest.raises(ValueError, match=r'head\.json is gone, and rows were known'):
        promote(line, toys.box_package(tmp_path / 'third'))
    path.write_bytes(kept)
    assert line.verify().ok
    first = {'id': 1, 'hash': rows_of(line)[0][-1]}
    path.write_text(json.dumps(first), encoding='utf-8')
    assert line.verify().ok  # the row that was known is there
    assert path.read_bytes() == kept


def test_feature_what_is_sealed_outlives_a_power_cut(tmp_path: Path) -> None:
    """It stands in the log's file itself, which is flushed, not only beside it."""
    line = Line.create(tmp_path / 'line')
    line.log.append_many([{'kind': 'note'}] * 3)
    line.seal()
    copy = tmp_path / 'copy.db'
    copy.write_bytes(line.db_path.read_bytes())
    assert DecisionLog(copy).verify(head=line.head()).rows == 3


def test_feature_a_new_line_has_no_head(tmp_path: Path) -> None:
    line = Line.create(tmp_path / 'line')
    line.log.append('note')
    assert line.verify().ok


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('time', 3),
        ('ok', 1),
        ('rows', 'x'),
        ('sentence', None),
        ('sealed', []),
        ('sealed', 10**24),
        ('hash', 1),
    ],
)
def test_exception_a_damaged_note_of_a_verification(
    line: Line, name: str, value: object
) -> None:
    assert line.verify().ok
    edit(line.folder / 'verified.json', lambda it: it.update({name: value}))
    why = f"verified.json is not .*'{name}'"
    with pytest.raises(ValueError, match=why):
        line.verify()
    told = status(line).verified
    assert told is not None
    assert not told['ok']
    assert re.search(why, told['sentence'])


def test_feature_triggers(line: Line, tmp_path: Path) -> None:
    """One that was planted swallows rows; a guard that is gone lets them be changed."""
    db = sqlite3.connect(line.db_path)
    db.execute(
        "CREATE TRIGGER quiet BEFORE INSERT ON log WHEN NEW.kind = 'decision' "
        'BEGIN SELECT RAISE(IGNORE); END'
    )
    db.execute('DROP TRIGGER log_no_update')
    db.commit()
    with pytest.raises(OSError, match='did not take row 4 as it was given'):
        line.log.append('decision', decision='defective')
    assert line.log.append('note').id == 4
    found = line.verify()
    assert not found.ok
    assert 'the trigger log_no_update is missing' in found.sentence
    assert 'the trigger quiet is not ours' in found.sentence
    with pytest.raises(ValueError, match='the trigger quiet is not ours'):
        promote(line, toys.box_package(tmp_path / 'third'))
    line.log.rebuild()
    assert line.verify().ok
    assert line.log.append('decision', decision='ok').id == 5
    with pytest.raises(sqlite3.IntegrityError, match='rows are only appended'):
        db.execute("UPDATE log SET kind = 'note'")
    db.close()


@pytest.mark.parametrize(
    ('statement', 'why'),
    [
        ('DROP INDEX log_image', 'the index log_image is missing'),
        ('CREATE VIEW a AS SELECT 1', 'the view a is not ours'),
        ('CREATE TABLE x(a)', 'the table x is not ours'),
    ],
)
def test_feature_other_tables(line: Line, statement: str, why: str) -> None:
    """``--rebuild`` mends it."""
    db = sqlite3.connect(line.db_path)
    db.execute(statement)
    db.commit()
    db.close()
    assert why in line.verify().sentence
    line.log.rebuild()
    assert line.verify().ok


def test_feature_a_table_that_was_changed(line: Line) -> None:
    tamper(line.db_path, 'ALTER TABLE log ADD COLUMN a')
    assert 'the table log was changed' in line.verify().sentence


def test_feature_a_trigger_that_adds_to_a_row(line: Line) -> None:
    db = sqlite3.connect(line.db_path)
    db.executescript(
        'DROP TRIGGER log_no_update; CREATE TRIGGER soft AFTER INSERT ON log '
        'BEGIN UPDATE log SET score = 0.1 WHERE id = NEW.id; END'
    )
    db.close()
    with pytest.raises(OSError, match='did not take row 4'):
        line.log.append('decision', score=0.9)
    assert len(rows_of(line)) == 3
