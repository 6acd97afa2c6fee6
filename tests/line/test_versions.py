"""The pointer is where the log says; what a kill has left is finished or undone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mmdefect.line.folder import Line
from mmdefect.line.promote import promote, rollback
from mmdefect.line.versions import (
    UNFINISHED,
    is_settled,
    next_name,
    read_versions,
    repair,
    switch,
)
from tests.helpers.exam_toys import box_package


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """Two versions, the second in use."""
    line = Line.create(tmp_path / 'line')
    for name in ('first', 'package'):
        promote(line, box_package(tmp_path / name))
    return line


def test_smoke_versions(line: Line, tmp_path: Path) -> None:
    first, second = read_versions(line)
    assert (first.name, first.previous) == ('v0001', None)
    assert (second.name, second.previous) == ('v0002', 'v0001')
    assert second.source == str(tmp_path / 'package')
    assert second.passed
    assert second.why is None
    assert second.exams == {}
    assert (second.folder / 'model.onnx').is_file()
    assert line.current() == 'v0002'
    assert is_settled(line)


def test_feature_the_pointer_can_be_moved_with_the_line(line: Line) -> None:
    assert line.pointer.readlink() == Path('versions/v0002')
    moved = line.folder.rename(line.folder.with_name('moved'))
    assert (moved / 'current/package.json').is_file()


def test_feature_the_log_says_where_the_pointer_is(line: Line) -> None:
    switch(line, 'v0001')
    assert Line(line.folder).current() == 'v0002'
    line.pointer.unlink()
    assert Line(line.folder).current() == 'v0002'


def test_feature_a_copy_that_followed_links(line: Line) -> None:
    """As `cp -rL` and `scp -r` make it: the pointer is a folder."""
    for number in (1, 2):
        line.pointer.unlink()
        shutil.copytree(line.versions_dir / 'v0001', line.pointer)
        opened = Line(line.folder)
        assert opened.current() == 'v0002'
        assert opened.pointer.is_symlink()
        assert (line.folder / f'current.copy{number}/package.json').is_file()


def test_feature_a_draft_that_cannot_be_removed(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is of somebody else: noted once, when it is gone."""
    (line.versions_dir / 'v0003.part').mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, 'rmtree', lambda *_, **_more: None)
        Line(line.folder)
    assert line.log.count(kind='note') == 0
    Line(line.folder)
    assert line.log.count(kind='note') == 1


def test_feature_a_lost_note_is_written_again(line: Line) -> None:
    path = line.versions_dir / 'v0002.json'
    content = path.read_bytes()
    path.unlink()
    Line(line.folder)
    assert path.read_bytes() == content


def test_feature_a_half_copied_draft_goes_and_is_noted(line: Line) -> None:
    draft = line.versions_dir / 'v0003.part'
    draft.mkdir()
    (draft / 'model.onnx').write_bytes(b'half')
    opened = Line(line.folder)
    assert not draft.exists()
    assert opened.current() == 'v0002'
    note = next(opened.log.rows(kind='note', newest=True))
    assert note.body == {'what': UNFINISHED, 'version': 'v0003'}
    assert opened.verify().ok


def test_feature_a_line_in_use_is_left_alone(line: Line) -> None:
    draft = line.versions_dir / 'v0003.part'
    draft.mkdir()
    with line.lock('promote'):
        Line(line.folder)
        assert draft.exists()
    repair(line)
    assert not draft.exists()


def test_feature_no_version_is_removed_by_a_repair(line: Line) -> None:
    """Not even without a log, by which none of them was ever promoted."""
    line.log.close()
    for path in line.folder.glob('decisions.db*'):
        path.unlink()
    opened = Line(line.folder)
    assert opened.current() == 'v0002'
    assert (opened.folder / 'current/package.json').is_file()
    assert next_name(opened) == 'v0003'
    with pytest.raises(ValueError, match='v0002 is no version that the log knows'):
        read_versions(opened)
    assert 'the end is missing: row 2' in opened.verify().sentence


def test_feature_no_name_is_given_twice(line: Line, tmp_path: Path) -> None:
    rollback(line)
    shutil.rmtree(line.versions_dir / 'v0002')
    (line.versions_dir / 'v0002.json').unlink()
    assert promote(line, tmp_path / 'package').version == 'v0003'


def test_feature_the_log_is_the_truth(line: Line, tmp_path: Path) -> None:
    """Notes beside it are for people: one that says otherwise is written again."""
    path = line.versions_dir / 'v0001.json'
    newest = path.with_name('v0002.json')
    whole = path.read_text(encoding='utf-8')
    for note in (path, newest):
        content = {**json.loads(whole), 'passed': False, 'why': 'I wanted it'}
        note.write_text(json.dumps(content), encoding='utf-8')
    path.with_name('v0003.json').write_text(whole, encoding='utf-8')
    opened = Line(line.folder)
    assert 'I wanted it' not in newest.read_text(encoding='utf-8')
    found = read_versions(opened)
    assert [(one.name, one.passed, one.why) for one in found] == [
        ('v0001', True, None),
        ('v0002', True, None),
    ]
    rollback(opened)
    assert path.read_text(encoding='utf-8') == whole


def test_exception_a_row_that_no_promotion_writes(line: Line) -> None:
    body = {'state': 'promoted', 'source': 'x'}
    line.log.append('promotion', version='v0003', body=body)
    with pytest.raises(ValueError, match=r"row 3 .*\('package'\)"):
        read_versions(line)
