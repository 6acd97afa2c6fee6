"""What a promotion shows: the table, and pictures of what changed."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmdefect.line.exams import add_exam
from mmdefect.line.folder import Line
from mmdefect.line.gate import GateRow, Verdict
from mmdefect.line.gate_page import MOST, gate_table, in_lines
from mmdefect.line.promote import promote
from tests.helpers import exam_toys as toys
from tests.helpers.hand_package import hand_package


@pytest.fixture
def refused(tmp_path: Path) -> Path:
    """The page of a version that finds none of six cracks any more."""
    line = toys.boxes_line(tmp_path, dents=1, cracks=6)
    return promote(line, toys.blind_package(tmp_path / 'blind')).report


def test_smoke_self_contained(refused: Path) -> None:
    page = refused.read_text(encoding='utf-8')
    assert '<h1>Refused: frozen: crack loses 100.0 points' in page
    assert 'prefers-color-scheme: dark' in page
    assert not re.search(r'(src|href)="(?!data:image)', page)
    assert '<script' not in page
    assert 'http' not in page.partition('<body>')[2]


def test_feature_some_pictures_and_the_count_of_all(refused: Path) -> None:
    page = refused.read_text(encoding='utf-8')
    title = '<h2>crack: found by the old version, missed by the new (6)</h2>'
    assert title in page
    assert f'shown: the first {MOST} of 6' in page
    assert page.count('data:image/jpeg') == 2 * MOST
    assert 'dent: found' not in page


def test_feature_old_and_new_beside_each_other(refused: Path) -> None:
    """The annotated box is white, that of the old version has a colour."""
    old, new = (
        cv2.imread(str(refused.parent / f'000-{name}.jpg')).astype(int)
        for name in ('old', 'new')
    )
    assert old.shape == new.shape
    red = (old[..., 2] - old[..., 0] > 60) & (abs(new - old).sum(-1) > 150)
    assert red.any()
    assert np.all(new > 230, axis=-1).any()


def test_feature_the_reverse(tmp_path: Path) -> None:
    line = toys.boxes_line(tmp_path, dents=1, cracks=2)
    blind = toys.blind_package(tmp_path / 'blind')
    forced = promote(line, blind, force=True, why='to win them back').report
    assert '<h1>Forced (to win them back): frozen: crack loses' in forced.read_text()
    page = promote(line, toys.box_package(tmp_path / 'seeing')).report
    text = page.read_text(encoding='utf-8')
    assert '<h1>Passes 1 exam</h1>' in text
    assert 'crack: found by the new one only (2)' in text
    assert 'shown: all' in text


def test_feature_false_alarms_that_come_and_go(tmp_path: Path) -> None:
    line = toys.boxes_line(tmp_path, dents=1, cracks=1, value=250)
    # A good image that is a little blue: below the threshold of the old version.
    image = toys.colour(tmp_path / 'good/test.png', blue=100)
    exam = tmp_path / 'more'
    toys.box_exam(exam, dents=0, cracks=0, good=1)
    image.replace(exam / 'good01.png')
    add_exam(line, 'good', annotations=exam / 'exam.json')
    eager = toys.box_package(tmp_path / 'eager', thresholds={'dent': 0.3, 'crack': 0.5})
    found = promote(line, eager)
    assert found.reasons == (
        'good: false alarms are 100.0 % (1 of 1, before 0): expected 2.0 % at most '
        '(0 of 1)',
    )
    page = found.report.read_text(encoding='utf-8')
    assert 'dent: false alarms of the new version only (1)' in page


def test_feature_maps_show_the_product(tmp_path: Path) -> None:
    line = Line.create(tmp_path / 'line')
    add_exam(line, 'plates', folder=toys.map_exam(tmp_path / 'exam'))
    for name, threshold in (('first', 0.5), ('second', 0.05)):
        given = {'thresholds': {'bottle': threshold}, 'calibrated': True}
        hand_package(tmp_path / name, 'maps', **given)
    promote(line, tmp_path / 'first')
    found = promote(line, tmp_path / 'second')
    assert found.reasons == (
        'plates: false alarms of bottle are 100.0 % (4 of 4, before 0): expected 2.0 % '
        'at most (0 of 4)',
    )
    page = found.report.read_text(encoding='utf-8')
    assert 'bottle: false alarms of the new version only (4)' in page


def test_feature_a_table_for_a_terminal(tmp_path: Path) -> None:
    line = toys.boxes_line(tmp_path, dents=1, cracks=6)
    bare = toys.blind_package(tmp_path / 'blind', calibrated=False)
    found = promote(line, bare)
    head, titles, dent, crack, alarms, note = in_lines(found.verdicts, found.notes)
    assert head == 'exam frozen: REFUSED'
    assert titles.split()[:4] == ['class', 'verdict', 'instances', 'found,']
    assert dent.split()[:9] == ['dent', 'passed', *'1110000']
    assert 'one miss is 100.0 points, more than may be lost' in dent
    assert crack.split()[:9] == ['crack', 'REFUSED', *'6600600']
    assert 'loses 100.0 points (6 of 6, now 0)' in crack
    assert alarms.split()[:4] == ['false', 'alarms', 'passed', '9']
    words = 'all the thresholds of the new version are not calibrated'
    assert note.split() == words.split()


def test_feature_boxes_and_the_images_they_are_on() -> None:
    row = GateRow(exam='e', product='plate', kind='dent', number=7, images=3)
    verdict = Verdict(exam='e', passed=True, rows=(row,), reasons=())
    table = gate_table(verdict)
    assert table.header[:4] == ['class', 'product', 'verdict', 'instances']
    assert table.rows[0][:5] == ['dent', 'plate', 'passed', '7 on 3', '–']
