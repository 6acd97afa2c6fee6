"""Exams of a line: added, retired, and known to its log."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmdefect.line import exams as module
from mmdefect.line.exam import ExamImage, Truth
from mmdefect.line.exams import add_exam, check_names, open_exams, retire_exam
from mmdefect.line.folder import Line
from mmdefect.line.gate import Limits
from mmdefect.line.log import DecisionLog
from mmdefect.line.status import status
from tests.helpers.exam_toys import box_exam, boxes_line, map_exam


@pytest.fixture
def line(tmp_path: Path) -> Line:
    line = Line.create(tmp_path / 'line')
    add_exam(line, 'frozen', annotations=box_exam(tmp_path / 'exam', cracks=1))
    return line


def names(line: Line) -> list[str]:
    return [exam.name for exam in open_exams(line)]


def test_smoke_the_source_is_not_needed_any_more(line: Line, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / 'exam')
    assert names(line) == ['frozen']
    (row,) = line.log.rows(kind='note')
    assert (row.body['what'], row.body['exam']) == ('exam added', 'frozen')


def test_feature_the_log_holds_its_limits_and_who_added_it(
    line: Line, tmp_path: Path
) -> None:
    """One that is added anew under its name may allow more: that shows."""
    retire_exam(line, 'frozen', why='too strict')
    annotations = box_exam(tmp_path / 'again', cracks=1)
    weak = Limits(lose=0.5)
    add_exam(
        line, 'frozen', annotations=annotations, limits=weak, note='for now', by='Ada'
    )
    first, _, second = (row.body for row in line.log.rows(kind='note'))
    assert (first['limits']['lose'], second['limits']['lose']) == (0.02, 0.5)
    assert (second['note'], second['by']) == ('for now', 'Ada')
    assert 'by' not in first


def test_exception_a_name_is_used_once(line: Line, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match=r'frozen holds .*; choose another name$'):
        add_exam(line, 'frozen', folder=map_exam(tmp_path / 'maps'))
    assert line.log.count(kind='note') == 1


@pytest.mark.parametrize(
    'name',
    [
        *('', '../out', 'a/b', '.hidden', 'a.part', 7, '.', 'a.', 'a ', ' a', 'a?'),
        *('con', 'CON.txt', 'com1', 'a\n', 'Frozen', 'FROZEN'),
    ],
)
def test_exception_names(line: Line, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match='exam'):
        add_exam(line, name, folder=map_exam(tmp_path / 'maps'))
    assert names(line) == ['frozen']


def test_exception_an_image_that_cannot_be_read(line: Line, tmp_path: Path) -> None:
    root = map_exam(tmp_path / 'maps')
    (root / 'bottle/test/crack/0.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'crack/0\.png \(no image\)'):
        add_exam(line, 'other', folder=root)
    assert [path.name for path in line.exams_dir.iterdir()] == ['frozen']


def test_exception_a_limit_that_is_changed(line: Line) -> None:
    path = line.exams_dir / 'frozen/exam.json'
    text = path.read_text(encoding='utf-8')
    path.write_text(text.replace('"lose": 0.02', '"lose": 1.0'), encoding='utf-8')
    with pytest.raises(ValueError, match='has changed since the exam frozen was added'):
        open_exams(line)


def test_exception_an_exam_that_is_gone(line: Line) -> None:
    shutil.rmtree(line.exams_dir / 'frozen')
    with pytest.raises(FileNotFoundError, match=r'are gone \(1: frozen\)'):
        open_exams(line)
    retire_exam(line, 'frozen', why='its images were lost')
    assert names(line) == []


def test_feature_retired_with_a_reason(line: Line, tmp_path: Path) -> None:
    for why in ('', '  ', None):
        with pytest.raises(ValueError, match='expected the reason'):
            retire_exam(line, 'frozen', why=why)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='other is no exam'):
        retire_exam(line, 'other', why='no reason')
    retire_exam(line, 'frozen', why='wrong labels')
    assert names(line) == []
    assert not (line.exams_dir / 'frozen').exists()
    note = next(line.log.rows(kind='note', newest=True))
    assert note.body['why'] == 'wrong labels'
    with pytest.raises(ValueError, match='frozen is no exam'):
        retire_exam(line, 'frozen', why='again')
    add_exam(line, 'frozen', folder=map_exam(tmp_path / 'maps'))
    assert names(line) == ['frozen']


def test_exception_another_task(tmp_path: Path) -> None:
    line = boxes_line(tmp_path)
    with pytest.raises(ValueError, match='plates is one of maps: expected one of boxe'):
        add_exam(line, 'plates', folder=map_exam(tmp_path / 'maps'))
    assert names(line) == ['frozen']


@pytest.mark.parametrize(
    ('extra', 'why'),
    [
        (['rust', 'Rust'], 'the exam more says rust, Rust: expected one spelling'),
        (['Dent'], "says 'Dent' where the model says 'dent'"),
        ([' crack'], "says ' crack' where the model says 'crack'"),
    ],
)
def test_exception_names_that_are_spelled_otherwise(
    tmp_path: Path, extra: list[str], why: str
) -> None:
    line = boxes_line(tmp_path)
    path = box_exam(tmp_path / 'more', extra=extra)
    with pytest.raises(ValueError, match=why):
        add_exam(line, 'more', annotations=path)
    assert names(line) == ['frozen']


def test_exception_kinds_of_a_product_that_are_one(tmp_path: Path) -> None:
    root = map_exam(tmp_path / 'maps')
    shutil.copytree(root / 'bottle/test/crack', root / 'bottle/test/Crack')
    with pytest.raises(ValueError, match='says Crack, crack: expected one spelling'):
        add_exam(Line.create(tmp_path / 'line'), 'maps', folder=root)


def test_feature_kinds_are_of_a_product(tmp_path: Path) -> None:
    kinds = (('bottle', 'crack'), ('cable', 'Crack'))
    images = [
        ExamImage(file='a.png', product=product, truths=(Truth(kind=kind),))
        for product, kind in kinds
    ]
    check_names('e', 'maps', ('bottle', 'cable'), images)


def test_exception_in_use(line: Line, tmp_path: Path) -> None:
    with line.lock('promote'), pytest.raises(ValueError, match='is in use by promote'):
        add_exam(line, 'other', folder=map_exam(tmp_path / 'maps'))


@pytest.mark.parametrize('point', ['_copied', '_write_down'])
def test_feature_interrupted(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Before it has its name it is gone, after that it is written down."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, point, stop)
        with pytest.raises(KeyboardInterrupt):
            add_exam(line, 'other', folder=map_exam(tmp_path / 'maps'))
    opened = Line(line.folder)
    expected = ['frozen', 'other'] if point == '_write_down' else ['frozen']
    assert names(opened) == expected
    assert opened.log.count(kind='note') == len(expected)
    assert sorted(path.name for path in line.exams_dir.iterdir()) == expected


@pytest.mark.parametrize('point', ['rename', 'append', 'rmtree'])
def test_feature_retired_and_killed(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Before its row it is an exam still; after it, it is none, and its name free."""
    places = {'rename': Path, 'append': DecisionLog, 'rmtree': module.shutil}

    def killed(*given: object, **_more: object) -> None:
        if point != 'rmtree' or Path(str(given[0])).exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(places[point], point, killed)
        with pytest.raises(KeyboardInterrupt):
            retire_exam(line, 'frozen', why='too easy')
    retired = point == 'rmtree'
    assert (status(line).exams == ()) is (point != 'rename')
    opened = Line(line.folder)
    assert names(opened) == ([] if retired else ['frozen'])
    assert [path.name for path in line.exams_dir.iterdir()] == names(opened)
    if retired:
        add_exam(opened, 'frozen', folder=map_exam(tmp_path / 'maps'))
        assert names(Line(line.folder)) == ['frozen']


def test_feature_retired_by_mistake_and_put_back(line: Line, tmp_path: Path) -> None:
    """Nothing of it is removed; that it is one again is written down."""
    shutil.copytree(line.exams_dir / 'frozen', tmp_path / 'backup')
    retire_exam(line, 'frozen', why='the wrong one')
    shutil.copytree(tmp_path / 'backup', line.exams_dir / 'frozen')
    assert names(Line(line.folder)) == ['frozen']
    assert [row.body['what'] for row in line.log.rows(kind='note')] == [
        'exam added',
        'exam retired',
        'exam added',
    ]


def test_feature_what_a_kill_leaves_goes(line: Line) -> None:
    (line.exams_dir / 'other.part/draft').mkdir(parents=True)
    Line(line.folder)
    assert [path.name for path in line.exams_dir.iterdir()] == ['frozen']
