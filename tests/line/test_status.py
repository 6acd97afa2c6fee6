"""How a line is, in numbers and in words."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

import pytest

from mmdefect.line import reference
from mmdefect.line.folder import Line
from mmdefect.line.gate import Limits
from mmdefect.line.promote import promote, rollback
from mmdefect.line.status import status
from mmdefect.line.telling import told
from tests.helpers.drawn_line import drawn_rows, from_day
from tests.helpers.hand_package import hand_package

NOW = datetime(2026, 10, 31, 12, tzinfo=timezone.utc)


@pytest.fixture(scope='module')
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Two versions, 14 days of 100 images, dark from the 10th on, verdicts."""
    folder = tmp_path_factory.mktemp('line')
    made = Line.create(folder / 'line')
    for name, threshold in (('first', 0.7), ('second', 0.72)):
        package = hand_package(folder / name, 'maps', default_threshold=threshold)
        promote(made, package.folder)
    rollback(made)
    made.log.append_many(drawn_rows(14, 100, brightness=from_day(9, 120, 100)))
    reference.keep(made, reference.of_log(made, '2026-10-01', '2026-10-05'))
    image = next(made.log.rows(kind='decision')).image
    for verdict in ('confirmed', 'false alarm', 'missed', 'missed'):
        made.log.append(
            'verdict',
            time='2026-10-14T20:00:00',
            version='v0001',
            image=image,
            decision=verdict,
        )
    return made


def test_smoke(line: Line) -> None:
    found = status(line, now=NOW)
    assert found.version == 'v0001'
    assert [(one.version, one.by) for one in found.history] == [
        ('v0001', 'promotion'),
        ('v0002', 'promotion'),
        ('v0001', 'rollback'),
    ]
    assert [one.day for one in found.days] == [f'2026-10-{n:02d}' for n in range(1, 15)]
    assert {sum(one.decisions.values()) for one in found.days} == {100}
    assert {one.queued for one in found.days} == {5}
    assert found.verdicts == {
        'confirmed': 1,
        'false alarm': 1,
        'missed': 2,
        'wrong kind': 0,
    }
    assert (found.queue, found.exams) == (0, ())
    assert found.references == {'v0001': 'days 2026-10-01 to 2026-10-05'}
    assert [one.measure for one in found.out] == ['brightness']
    assert found.out[0].left == '2026-10-10'


def test_feature_reads_no_decision(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """But the newest row of all, by its id, and the rare kinds, by their index."""
    asked: list[str] = []
    select = line.log.select

    def spy(statement, values=()):
        (plan,) = (select(f'EXPLAIN QUERY PLAN {statement}', values)[-1:],)
        asked.append(str(plan))
        return select(statement, values)

    monkeypatch.setattr(line.log, 'select', spy)
    status(line, now=NOW)
    assert asked
    assert not [plan for plan in asked if 'SCAN log' in plan and 'INDEX' not in plan]


def test_feature_verified(line: Line) -> None:
    """Whether the log was right when it was last read as a whole, and since when."""
    before = status(line, now=NOW)
    assert (before.verified, before.unverified) == (None, 3 + 14 * 100 + 1 + 4)
    assert line.verify().ok
    line.log.append('note')
    after = status(line, now=NOW)
    assert after.unverified == 1
    text = '\n'.join(told(after, line.settings.drift))
    assert f'verified   all {before.unverified} rows on 20' in text
    assert '; 1 row since' in text


def test_feature_in_words(line: Line) -> None:
    text = '\n'.join(told(status(line, now=NOW), line.settings.drift, days=2))
    assert 'v0001 since ' in text
    assert '(rollback)' in text
    assert 'before: v0001 from ' in text
    assert 'none; a promotion has nothing to prove' in text
    assert '2026-10-12' not in text.replace('on 2026-10-12', '')
    assert '2026-10-14  defective ' in text
    assert '5 to the queue' in text
    assert '0 images wait for a person' in text
    assert 'confirmed 1, false alarm 1, missed 2, wrong kind 0' in text
    first, *others = text[text.index('drift') :].splitlines()
    assert first.startswith(
        'drift      brightness: OUT since 2026-10-10; on 2026-10-14 (100 images): '
    )
    assert ': 5/50/95 % at 8' in first
    assert ', usually 10' in first
    assert [line.split()[0] for line in others] == ['alarms', 'score', 'sharpness:']
    assert all('ok on 2026-10-14 (100 images)' in line for line in others)


def test_feature_plain_data(line: Line) -> None:
    found = status(line, now=NOW).to_dict()
    again = json.loads(json.dumps(found, allow_nan=False))
    assert again == found
    dark = next(one for one in found['drift'] if one['measure'] == 'brightness')
    assert dark['left'] == dark['out_since'] == '2026-10-10'
    assert len(dark['psi']) == len(dark['days']) == 14
    assert (dark['state'], dark['version']) == ('out', None)


def test_feature_an_empty_line(tmp_path: Path) -> None:
    empty = Line.create(tmp_path / 'empty')
    found = status(empty)
    assert (found.version, found.verified, found.unverified) == (None, None, 0)
    text = '\n'.join(told(found, empty.settings.drift))
    for part in (
        'none yet; promote a package',
        'never; run `mmdefect line verify`',
        'not watched: there is no reference; run `mmdefect line reference',
    ):
        assert part in text


def test_feature_few_images_and_no_reference_are_said(tmp_path: Path) -> None:
    few = Line.create(tmp_path / 'few')
    few.log.append_many(drawn_rows(3, 100))
    few.log.append_many(drawn_rows(1, 10, version='v0002'))
    (usual, _) = reference.of_log(few, '2026-10-01', '2026-10-02')
    reference.keep(few, [usual])
    few.log.append_many(
        {**row, 'time': '2026-10-04'} for row in drawn_rows(1, 10, seed=5)
    )
    text = '\n'.join(told(status(few), few.settings.drift))
    assert 'sharpness: undecided on 2026-10-04 (10 images); ok on 2026-10-03' in text
    assert '1 of 4 days undecided (fewer than 50 images)' in text
    assert 'alarms, score of v0002: undecided, there is no reference' in text


def test_feature_exams_and_their_age(tmp_path: Path) -> None:
    made = Line.create(tmp_path / 'line')
    exam = made.exams_dir / 'scratches'
    exam.mkdir()
    content = {'added': '2026-10-01T11:00:00+00:00', 'images': [{}, {}], 'note': ''}
    content['limits'] = asdict(Limits())
    (exam / 'exam.json').write_text(json.dumps(content))
    Line(made.folder)  # writes down what was copied
    (found,) = status(made, now=NOW).exams
    assert (found.name, found.images, found.days) == ('scratches', 2, 30)
    text = '\n'.join(told(status(made, now=NOW), made.settings.drift))
    assert 'scratches: 2 images, 30 days old; lose 0.02, false alarms 0.02 more\n' in (
        text
    )
    content |= {'note': 'by Anna', 'limits': asdict(Limits(false_alarms=0.6, least=0))}
    (exam / 'exam.json').write_text(json.dumps(content))
    found = status(made, now=NOW)
    text = '\n'.join(told(found, made.settings.drift))
    assert '; lose 0.02, false alarms 0.6, least 0; by Anna\n' in text
    assert found.to_dict()['exams'][0]['limits'] == content['limits']
    (exam / 'exam.json').write_text('{}')
    with pytest.raises(ValueError, match=r'exam.json is not as it was written .*added'):
        status(made)


def test_feature_without_scipy_all_else_is_told(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'scipy', None)
    found = status(line, now=NOW)
    assert (found.version, len(found.days), found.traces) == ('v0001', 14, ())
    assert found.undecided == (
        'drift: undecided, scipy is not installed: expected it for drift; pip install '
        '"mmdefect[line]"',
    )


def test_feature_a_log_that_was_changed_stays_said(tmp_path: Path) -> None:
    made = Line.create(tmp_path / 'line')
    made.log.append_many(drawn_rows(1, 5))
    db = sqlite3.connect(made.db_path)
    db.execute('DROP TRIGGER log_no_update')
    db.execute('UPDATE log SET score = 0 WHERE id = 3')
    db.commit()
    db.close()
    assert not made.verify().ok
    text = '\n'.join(told(status(made), made.settings.drift))
    assert 'verified   WRONG on 20' in text
    (made.folder / 'verified.json').write_text('{}')
    text = '\n'.join(told(status(made), made.settings.drift))
    assert re.search(r"WRONG on 20.*verified.json is not as it was .*'time'", text)


def test_feature_a_small_reference_is_told_from_small_days(tmp_path: Path) -> None:
    line = Line.create(tmp_path / 'line')
    line.log.append_many(drawn_rows(1, 10))
    (small,) = reference.of_log(line, '2026-10-01', '2026-10-01')
    reference.keep(line, [small])
    line.log.append_many(
        {**row, 'time': '2026-10-04'} for row in drawn_rows(1, 100, seed=5)
    )
    text = '\n'.join(told(status(line), line.settings.drift))
    assert '2 of 2 days undecided (the reference has fewer than 50 images; make' in text
