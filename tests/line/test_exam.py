"""A frozen exam is as it was, or is refused by the names of its files."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmdefect.line.exam import Exam
from mmdefect.line.exams import add_exam
from mmdefect.line.folder import Line
from mmdefect.line.gate import Limits
from tests.helpers.exam_toys import box_exam, colour


@pytest.fixture
def exam(tmp_path: Path) -> Exam:
    line = Line.create(tmp_path / 'line')
    annotations = box_exam(tmp_path / 'exam', dents=1, cracks=1, good=1)
    limits = Limits(lose=0.1, false_alarms=0.5)
    return add_exam(line, 'frozen', annotations=annotations, note='Ada', limits=limits)


def test_smoke_reads_what_was_written(exam: Exam) -> None:
    assert Exam.open(exam.folder) == exam
    assert (exam.task, exam.classes, exam.note) == ('boxes', ('dent', 'crack'), 'Ada')
    dent, crack, good = exam.images
    assert dent.truths[0].box == (2, 4, 10, 12)
    assert (crack.truths[0].kind, good.truths) == ('crack', ())


@pytest.mark.parametrize('what', ['changed', 'missing', 'added', 'a pipe'])
def test_exception_files(exam: Exam, what: str) -> None:
    folder = exam.folder / 'images'
    if what == 'changed':
        colour(folder / 'crack02.png', green=9)
    elif what == 'missing':
        (folder / 'crack02.png').unlink()
    elif what == 'a pipe':
        (folder / 'crack02.png').unlink()
        os.mkfifo(folder / 'crack02.png')
        what = 'changed'
    else:
        colour(folder / 'more/crack02.png')
    name = 'more/crack02.png' if what == 'added' else 'crack02.png'
    with pytest.raises(ValueError, match=rf'frozen .*\({what} 1: {name}\)'):
        Exam.open(exam.folder)


def test_feature_what_a_file_manager_leaves_is_no_image(exam: Exam) -> None:
    for name in ('.DS_Store', '._crack02.png', '.directory'):
        (exam.folder / 'images' / name).write_bytes(b'x')
    assert Exam.open(exam.folder) == exam


def test_feature_an_image_that_is_called_so_all_the_same(exam: Exam) -> None:
    (exam.folder / 'images/crack02.png').rename(exam.folder / 'images/._crack02.png')
    path = exam.folder / 'exam.json'
    path.write_text(path.read_text().replace('crack02.png', '._crack02.png'))
    assert Exam.open(exam.folder).images[1].file == '._crack02.png'
    (exam.folder / 'images/._crack02.png').write_bytes(b'x')
    with pytest.raises(ValueError, match=r'\(changed 1: \._crack02\.png\)'):
        Exam.open(exam.folder)


def test_exception_links_and_hidden_files(exam: Exam, tmp_path: Path) -> None:
    """Even one that leads to the same content: that may be another any time."""
    folder = exam.folder / 'images'
    (folder / 'crack02.png').rename(tmp_path / 'moved.png')
    (folder / 'crack02.png').symlink_to(tmp_path / 'moved.png')
    (folder / 'more').symlink_to(tmp_path)
    (folder / '.hidden.png').write_bytes(b'x')
    with pytest.raises(ValueError, match='is not as it was frozen') as error:
        Exam.open(exam.folder)
    assert '(added 1: .hidden.png; links, where the files' in str(error.value)
    assert 'are expected 2: crack02.png, more)' in str(error.value)


def test_exception_a_folder_in_the_place_of_an_image(exam: Exam) -> None:
    path = exam.folder / 'images/crack02.png'
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r'\(missing 1: crack02\.png\)'):
        Exam.open(exam.folder)


@pytest.mark.parametrize(
    ('given', 'why'),
    [
        ({'format_version': 9}, 'format_version=9: expected at most 1'),
        ({'format_version': None}, 'format_version=null'),
        ({'task': 'dreams'}, "task='dreams'"),
        ({'limits': {'lose': 7}}, 'lose=7'),
        ({'limits': {'gain': 1}}, 'gain'),
        ({'images': [{'file': '../a.png'}]}, 'is not as `mmdefect line add-exam`'),
    ],
)
def test_exception_description(exam: Exam, given: dict, why: str) -> None:
    path = exam.folder / 'exam.json'
    content = json.loads(path.read_text(encoding='utf-8'))
    path.write_text(json.dumps({**content, **given}), encoding='utf-8')
    with pytest.raises(ValueError, match=r'exam\.json') as error:
        Exam.open(exam.folder)
    assert why in str(error.value)
