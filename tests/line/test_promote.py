"""A package behind the gate, and the way back; at every moment one whole version."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from mmdefect.line import examine, versions
from mmdefect.line import promote as promoting
from mmdefect.line.exams import add_exam
from mmdefect.line.folder import Line
from mmdefect.line.gate import Limits
from mmdefect.line.log import DecisionLog
from mmdefect.line.promote import promote, rollback
from mmdefect.line.status import status
from mmdefect.line.versions import UNFINISHED, read_versions
from tests.helpers import exam_toys as toys
from tests.helpers.hand_package import hand_package

ONE_VERSION = {'v0001', 'v0001.json'}


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """With an exam of boxes and one version, which finds all of it."""
    return toys.boxes_line(tmp_path)


def newest(line: Line, kind: Any = 'promotion') -> Any:
    return next(line.log.rows(kind=kind, newest=True))


def test_smoke_promoted(line: Line, tmp_path: Path) -> None:
    found = promote(line, toys.box_package(tmp_path / 'second'))
    assert (found.version, found.previous, found.passed) == ('v0002', 'v0001', True)
    assert not found.forced
    assert found.reasons == ()
    assert line.current() == 'v0002'
    assert found.report.is_file()
    row = newest(line)
    assert (row.version, row.body['state'], row.body['from']) == (
        'v0002',
        'promoted',
        'v0001',
    )
    assert row.body['exams']['frozen']['passed'] is True
    assert line.verify().ok


def test_feature_the_first_version_is_held_against_rates(tmp_path: Path) -> None:
    line = Line.create(tmp_path / 'line')
    annotations = toys.box_exam(tmp_path / 'exam')
    limits = Limits(least=0.9)
    add_exam(line, 'frozen', annotations=annotations, limits=limits)
    refused = promote(line, toys.blind_package(tmp_path / 'blind'))
    assert refused.version is None
    assert line.current() is None
    assert refused.reasons == (
        'frozen: crack is found in 0.0 % (0 of 4): expected 90.0 % at least (4 of 4)',
    )
    found = promote(line, toys.box_package(tmp_path / 'seeing'))
    assert (found.version, found.previous) == ('v0001', None)
    assert 'there is no old version' in found.notes[0]


def test_feature_a_line_without_exams_says_so(tmp_path: Path) -> None:
    line = Line.create(tmp_path / 'line')
    found = promote(line, toys.box_package(tmp_path / 'package'))
    assert found.version == 'v0001'
    assert 'the line has no exam: nothing is proved' in found.notes


def test_feature_refused_when_a_class_is_lost(line: Line, tmp_path: Path) -> None:
    found = promote(line, toys.blind_package(tmp_path / 'blind'))
    assert (found.version, found.passed, line.current()) == (None, False, 'v0001')
    assert found.reasons == (
        'frozen: crack loses 100.0 points (4 of 4, now 0): expected 2.0 points at most '
        '(0 of 4)',
    )
    row = newest(line)
    assert (row.version, row.body['state']) == (None, 'refused')
    assert row.body['reasons'] == list(found.reasons)
    assert {path.name for path in line.versions_dir.iterdir()} == ONE_VERSION
    assert promote(line, toys.box_package(tmp_path / 'good')).version == 'v0002'


def test_feature_forced_with_a_reason(line: Line, tmp_path: Path) -> None:
    package = toys.blind_package(tmp_path / 'blind')
    for why in (None, '', ' '):
        with pytest.raises(ValueError, match='reason of whoever forces'):
            promote(line, package, force=True, why=why)
    assert line.current() == 'v0001'
    assert newest(line).version == 'v0001'
    found = promote(line, package, force=True, why='cracks are allowed now')
    assert (found.version, found.forced, found.passed) == ('v0002', True, False)
    assert newest(line).body['why'] == 'cracks are allowed now'
    assert newest(line).body['forced'] is True
    version = read_versions(line)[-1]
    assert (version.why, version.passed) == ('cracks are allowed now', False)
    assert version.exams['frozen']['reasons'] == list(found.reasons)
    assert line.verify().ok


def test_feature_the_same_package_again(line: Line, tmp_path: Path) -> None:
    """Somebody may have given the wrong folder: going back would lead to it again."""
    package = toys.box_package(tmp_path / 'second')
    promote(line, package)
    with pytest.raises(ValueError, match='is the package of v0002, which is in use'):
        promote(line, package)
    assert (line.current(), line.log.count(kind='promotion')) == ('v0002', 2)
    found = promote(line, package, force=True, why='a trial')
    assert (found.version, found.passed, found.forced) == ('v0003', True, True)


def test_feature_after_a_clock_that_went_back(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds is the order of the rows."""
    package = toys.box_package(tmp_path / 'second')
    append = DecisionLog.append
    years = iter(['2020-03-01', '2020-02-01', '2020-01-01'])

    def late(log: DecisionLog, kind: Any, **fields: Any) -> Any:
        return append(log, kind, time=next(years), **fields)

    monkeypatch.setattr(DecisionLog, 'append', late)
    assert promote(line, package).version == 'v0002'
    assert rollback(line) == 'v0001'
    assert rollback(line, 'v0002') == 'v0002'
    assert Line(line.folder).current() == 'v0002'
    assert [one.by for one in status(line).history] == [
        'promotion',
        'promotion',
        'rollback',
        'rollback',
    ]
    assert line.verify().ok


def test_feature_new_classes_come_behind_the_old(line: Line, tmp_path: Path) -> None:
    package = toys.box_package(
        tmp_path / 'second',
        classes=['dent', 'crack', 'rust'],
        thresholds={'dent': 0.5, 'crack': 0.5, 'rust': 1.0},
    )
    found = promote(line, package)
    assert found.version == 'v0002'
    assert found.notes == ('no exam shows rust: nothing is proved about them',)


def test_exception_an_exam_that_calls_things_otherwise(
    line: Line, tmp_path: Path
) -> None:
    """The exam was there before the kind had its name; forced or not."""
    path = toys.box_exam(tmp_path / 'more', extra=('Rust',))
    add_exam(line, 'more', annotations=path)
    spec = {'thresholds': {'dent': 0.5, 'crack': 0.5, 'rust': 1.0}}
    package = toys.box_package(
        tmp_path / 'second', classes=['dent', 'crack', 'rust'], **spec
    )
    with pytest.raises(ValueError, match=r"more says 'Rust' where the model .*'rust'"):
        promote(line, package, force=True, why='I want it')
    assert line.current() == 'v0001'


@pytest.mark.parametrize(
    ('task', 'spec', 'why'),
    [
        ('maps', {}, 'is a model of maps: expected one of boxes'),
        ('boxes', {'classes': ['crack', 'dent']}, 'has the classes crack, dent'),
        ('boxes', {'classes': ['dent']}, 'in their order, dent, crack'),
        ('boxes', {'classes': ['rust', 'dent', 'crack']}, 'new ones behind them'),
    ],
)
def test_exception_other_models(
    line: Line, tmp_path: Path, task: str, spec: dict, why: str
) -> None:
    """Whoever forces it: it could not be compared."""
    hand_package(tmp_path / 'other', task, **spec)
    with pytest.raises(ValueError, match='other') as error:
        promote(line, tmp_path / 'other', force=True, why='I want it')
    assert why in str(error.value)
    assert str(error.value).count('\n') == 0
    assert line.current() == 'v0001'
    assert line.log.count(kind='promotion') == 1


def test_exception_another_defective_class(tmp_path: Path) -> None:
    line = Line.create(tmp_path / 'line')
    for name in ('red', 'blue'):
        hand_package(tmp_path / name, 'labels', defective=name, thresholds={name: 0.5})
    promote(line, tmp_path / 'red')
    with pytest.raises(ValueError, match='calls blue defective: expected red'):
        promote(line, tmp_path / 'blue')


def test_exception_exams_of_another_task(tmp_path: Path) -> None:
    line = Line.create(tmp_path / 'line')
    add_exam(line, 'plates', folder=toys.map_exam(tmp_path / 'exam'))
    with pytest.raises(ValueError, match='task of the exams plates'):
        promote(line, toys.box_package(tmp_path / 'package'))


@pytest.mark.parametrize('damage', ['graph', 'missing graph', 'json', 'missing'])
def test_exception_damaged_packages(line: Line, tmp_path: Path, damage: str) -> None:
    package = toys.box_package(tmp_path / 'bad')
    if damage == 'graph':
        (package / 'model.onnx').write_bytes(b'other')
    elif damage == 'missing graph':
        (package / 'model.onnx').unlink()
    elif damage == 'json':
        (package / 'package.json').write_text('{', encoding='utf-8')
    else:
        shutil.rmtree(package)
    with pytest.raises((ValueError, FileNotFoundError), match='bad'):
        promote(line, package)
    assert line.current() == 'v0001'
    assert {path.name for path in line.versions_dir.iterdir()} == ONE_VERSION


def test_exception_a_graph_that_no_runtime_opens(line: Line, tmp_path: Path) -> None:
    """Its hash is right; what was copied goes again, and nothing was begun."""
    package = hand_package(tmp_path / 'bad', 'boxes', **toys.CALIBRATED)
    (package.folder / 'model.onnx').write_bytes(b'no graph')
    package.save(package.folder)
    with pytest.raises(ValueError, match='cannot read'):
        promote(line, package.folder)
    assert line.current() == 'v0001'
    assert {path.name for path in line.versions_dir.iterdir()} == ONE_VERSION
    assert not [*line.reports_dir.glob('*.part')]


def test_exception_an_exam_that_changed(line: Line, tmp_path: Path) -> None:
    package = toys.box_package(tmp_path / 'second')
    image = line.exams_dir / 'frozen/images/crack05.png'
    toys.colour(image, green=3)
    with pytest.raises(ValueError, match=r'frozen .*changed 1: crack05.png'):
        promote(line, package, force=True, why='in a hurry')
    image.unlink()
    with pytest.raises(ValueError, match=r'missing 1: crack05.png'):
        promote(line, package)


def test_exception_two_at_once(line: Line, tmp_path: Path) -> None:
    package = toys.box_package(tmp_path / 'second')
    with line.lock('promote'):
        for act in (lambda: promote(line, package), lambda: rollback(line)):
            with pytest.raises(ValueError, match='is in use by promote') as error:
                act()
            assert str(error.value).count('\n') == 0
    assert promote(line, package).version == 'v0002'


def test_feature_a_damaged_version_in_use(line: Line, tmp_path: Path) -> None:
    """It is said; whoever forces another gets one that was not compared with it."""
    (line.versions_dir / 'v0001/model.onnx').write_bytes(b'other')
    package = toys.box_package(tmp_path / 'second')
    with pytest.raises(ValueError, match=r'v0001/model\.onnx has changed'):
        promote(line, package)
    found = promote(line, package, force=True, why='the disk was full')
    assert found.version == 'v0002'
    assert found.forced
    assert found.notes[0].startswith('nothing is compared with v0001')
    assert read_versions(line)[-1].forced


@pytest.mark.parametrize('damage', ['an edit', 'its folder is gone', 'all is gone'])
def test_exception_other_models_in_place_of_a_damaged_version(
    line: Line, tmp_path: Path, damage: str
) -> None:
    """The log knows what it was a model of."""
    folder = line.versions_dir / 'v0001'
    if damage == 'an edit':
        with (folder / 'package.json').open('a', encoding='utf-8') as file:
            file.write(' ')
    else:
        shutil.rmtree(folder)
    if damage == 'all is gone':
        line.pointer.unlink()
    turned = toys.box_package(tmp_path / 'turned', classes=['crack', 'dent'])
    why = 'the disk was full'
    with pytest.raises(ValueError, match='has the classes crack, dent: expected'):
        promote(line, turned, force=True, why=why)
    package = toys.box_package(tmp_path / 'second')
    with pytest.raises((OSError, ValueError), match=r'v0001|leads to no version'):
        promote(line, package)
    found = promote(line, package, force=True, why=why)
    assert (found.version, found.previous, found.forced) == ('v0002', 'v0001', True)
    assert found.notes[0].startswith('nothing is compared with v0001')
    assert line.current() == 'v0002'


def test_feature_each_image_is_decoded_once(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For both versions and all pictures of the page."""
    read: list[str] = []

    def counted(data: bytes, path: Path, **more: Any) -> Any:
        read.append(path.name)
        return real(data, path, **more)

    real = examine.image_of
    monkeypatch.setattr(examine, 'image_of', counted)
    promote(line, toys.blind_package(tmp_path / 'blind'))
    assert len(read) == len(set(read)) == 10


def test_feature_rollback_goes_to_the_version_before(
    line: Line, tmp_path: Path
) -> None:
    package = toys.box_package(tmp_path / 'package')
    given = (toys.box_package(tmp_path / 'second'), package)
    assert [promote(line, one).version for one in given] == ['v0002', 'v0003']
    assert rollback(line, why='it is slow') == 'v0002' == line.current()
    row = newest(line, 'rollback')
    assert (row.version, row.body['from']) == ('v0002', 'v0003')
    assert row.body['why'] == 'it is slow'
    # Not back to the one that was just left.
    assert rollback(line) == 'v0001'
    with pytest.raises(ValueError, match='v0001 is the first version'):
        rollback(line)
    assert rollback(line, 'v0003') == 'v0003'
    assert rollback(line) == 'v0002'
    assert promote(line, package).version == 'v0004'
    assert rollback(line) == 'v0002'
    assert line.verify().ok


def test_exception_rollback(line: Line, tmp_path: Path) -> None:
    for to, why in (('v0009', 'no version v0009'), ('../x', 'no version')):
        with pytest.raises(FileNotFoundError, match=why):
            rollback(line, to)
    with pytest.raises(ValueError, match='v0001 is the current version already'):
        rollback(line, 'v0001')
    promote(line, toys.box_package(tmp_path / 'second'))
    (line.versions_dir / 'v0001/model.onnx').write_bytes(b'other')
    with pytest.raises(ValueError, match='has changed since it was exported'):
        rollback(line)
    assert line.current() == 'v0002'
    with pytest.raises(ValueError, match='there is no version'):
        rollback(Line.create(tmp_path / 'empty'))


#: Where a promotion is ended: module or class, function, before or after it; and
#: whether the new version is in use when the line is opened next.
POINTS: dict[str, tuple[Any, str, str, bool]] = {
    'nothing is copied': (promoting, 'copy_in', 'before', False),
    'half is copied': (versions.shutil, 'copytree', 'half', False),
    'all is copied': (promoting, 'copy_in', 'after', False),
    'examined': (promoting, 'result_of', 'after', False),
    'the page is written': (promoting, 'write_gate_page', 'after', False),
    'the row is to be written': (DecisionLog, 'append', 'before', False),
    'the row is written': (DecisionLog, 'append', 'after', True),
    'the folder has its name': (versions, 'write_json', 'before', True),
    'the note is written': (versions, 'write_json', 'after', True),
    'the pointer is to move': (versions, 'switch', 'before', True),
    'the pointer has moved': (versions, 'switch', 'after', True),
}


def end_at(patch: pytest.MonkeyPatch, point: str, end: Callable[[], NoReturn]) -> None:
    """Have the first call of a function end what calls it."""
    where, name, when, _ = POINTS[point]
    real = getattr(where, name)

    def ended(*args: Any, **more: Any) -> Any:
        if when == 'after':
            real(*args, **more)
        elif when == 'half':
            Path(args[1]).mkdir()
            shutil.copyfile(Path(args[0]) / 'model.onnx', Path(args[1]) / 'model.onnx')
        return end()

    patch.setattr(where, name, ended)


def check_whole(folder: Path, package: Path, *, new: bool) -> None:
    """Whatever has happened: a whole version in use, a whole chain, nothing left."""
    assert (folder / 'current/package.json').is_file()
    line = Line(folder)
    assert line.current() == ('v0002' if new else 'v0001')
    wanted = ['v0001', 'v0001.json'] + ['v0002', 'v0002.json'] * new
    assert sorted(path.name for path in line.versions_dir.iterdir()) == wanted
    assert not [*folder.rglob('*.part')]
    assert not (folder / 'current.tmp').exists()
    assert [one.name for one in read_versions(line)] == wanted[::2]
    assert line.log.count(kind='promotion') == 1 + new
    assert line.verify().ok
    # What was interrupted can be done again, and undone.
    package = toys.box_package(package.with_name('again'))
    assert promote(line, package).version == f'v000{2 + new}'
    assert rollback(line) == ('v0002' if new else 'v0001')


@pytest.mark.parametrize('point', POINTS)
def test_feature_interrupted_anywhere(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    package = toys.box_package(tmp_path / 'second')

    def stop() -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        end_at(patch, point, stop)
        with pytest.raises(KeyboardInterrupt):
            promote(line, package)
    check_whole(line.folder, package, new=POINTS[point][3])


@pytest.mark.parametrize('point', POINTS)
def test_feature_killed_anywhere(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Nothing of the process runs any more."""
    package = toys.box_package(tmp_path / 'second')

    def die() -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise SystemExit

    child = os.fork()
    if not child:
        try:
            end_at(monkeypatch, point, die)
            promote(Line(line.folder), package)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    drafts = [*line.versions_dir.glob('*.part')]
    check_whole(line.folder, package, new=POINTS[point][3])
    notes = [row.body.get('what') for row in line.log.rows(kind='note')]
    assert notes.count(UNFINISHED) == (bool(drafts) and not POINTS[point][3])


@pytest.mark.parametrize('point', ['the row is written', 'the pointer has moved'])
def test_feature_a_rollback_is_killed(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    package = toys.box_package(tmp_path / 'second')
    promote(line, package)

    def stop() -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        end_at(patch, point, stop)
        with pytest.raises(KeyboardInterrupt):
            rollback(line)
    assert Line(line.folder).current() == 'v0001'
    assert line.log.count(kind='rollback') == 1


def test_feature_empty_folders_that_were_lost(tmp_path: Path) -> None:
    """Of a line that came through an archive, which keeps none."""
    line = Line.create(tmp_path / 'line')
    for folder in (line.versions_dir, line.exams_dir, line.reports_dir):
        folder.rmdir()
    add_exam(line, 'frozen', annotations=toys.box_exam(tmp_path / 'exam'))
    opened = Line(line.folder)
    assert promote(opened, toys.box_package(tmp_path / 'package')).version == 'v0001'


def test_exception_a_full_disk(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **_more: object) -> NoReturn:
        raise OSError(errno.ENOSPC, 'No space left on device')

    package = toys.box_package(tmp_path / 'second')
    with monkeypatch.context() as patch:
        patch.setattr(versions.shutil, 'copyfile', full)
        with pytest.raises(OSError, match=r'cannot copy .*No space left') as error:
            promote(line, package)
    assert '\n' not in str(error.value)
    assert {path.name for path in line.versions_dir.iterdir()} == ONE_VERSION
    assert promote(line, package).version == 'v0002'
