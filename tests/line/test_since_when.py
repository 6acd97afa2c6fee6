"""Since when a kind is overlooked, by the log alone."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from mmdefect.line.feedback import export_feedback
from mmdefect.line.folder import Line
from mmdefect.line.since_when import KIND_SQL, since_when_kind
from mmdefect.line.verdicts import give
from tests.helpers.reviewed_line import (
    CRACK,
    DENT,
    add_version,
    decide,
    draw,
    make_line,
)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """``a`` and ``b``: cracks that v0001 finds and v0002 does not."""
    line = make_line(tmp_path / 'l')
    found = [draw(tmp_path / f'{name}.png', seed) for seed, name in enumerate('abc')]
    decide(line, found[0], CRACK)
    decide(line, found[1], DENT, CRACK)
    decide(line, found[2])
    add_version(line)
    decide(line, found[0])
    decide(line, found[1], DENT)
    return line


def told(line: Line, kind: str = 'crack') -> list[tuple[str | None, str, int, int]]:
    counts = since_when_kind(line, kind).counts
    return [(one.version, one.state, one.decisions, one.images) for one in counts]


def test_smoke_found_once_and_overlooked_since(line: Line) -> None:
    for name in 'ab':
        give(line, f'{name}.png', 'missed', kind='crack', box=CRACK['box'])
    assert told(line) == [
        ('v0001', 'found', 2, 2),
        ('v0002', 'overlooked', 1, 1),
        ('v0002', 'called otherwise', 1, 1),
    ]
    found = since_when_kind(line, 'crack')
    rows = [*line.log.rows(kind='decision')]
    assert found.first_overlooked == rows[3]
    assert found.last_found == rows[1]
    assert found.confirmed == 2
    assert all(one.is_there for one in found.counts)
    shutil.rmtree(line.versions_dir / 'v0001')
    after = since_when_kind(line, 'crack')
    assert [one.is_there for one in after.counts] == [False, True, True]


def test_feature_a_verdict_that_is_taken_back(line: Line) -> None:
    give(line, 'a.png', 'missed', kind='crack')
    give(line, 'b.png', 'missed', kind='crack')
    give(line, 'a.png', 'confirmed')  # it is ok after all
    assert [images for *_, images in told(line)] == [1, 1]
    give(line, 'b.png', 'false alarm')
    assert told(line) == []
    assert since_when_kind(line, 'crack').first_overlooked is None


def test_feature_found_again(line: Line, tmp_path: Path) -> None:
    """What is confirmed of the next version takes nothing back from the last one."""
    give(line, 'a.png', 'missed', kind='crack')
    add_version(line)
    row = decide(line, tmp_path / 'a.png', CRACK)
    give(line, 'a.png', 'confirmed')
    assert [one[:2] for one in told(line)] == [
        ('v0001', 'found'),
        ('v0002', 'overlooked'),
        ('v0003', 'found'),
    ]
    assert since_when_kind(line, 'crack').last_found == row


def test_feature_wrong_kind(line: Line) -> None:
    give(line, 'b.png', 'wrong kind', kind='crack')
    assert [one[:2] for one in told(line)] == [
        ('v0001', 'found'),
        ('v0002', 'called otherwise'),
    ]


def test_feature_nobody_has_said_that_it_was_missed(line: Line, tmp_path: Path) -> None:
    decide(line, draw(tmp_path / 'd.png', 9), CRACK)
    give(line, 'd.png', 'confirmed')
    found = since_when_kind(line, 'crack')
    assert (found.confirmed, found.counts, found.last_found) == (1, (), None)
    assert since_when_kind(line, 'dent').confirmed == 0


def test_feature_maps_find_any_kind(tmp_path: Path) -> None:
    """Whatever a verdict calls it."""
    line = make_line(tmp_path / 'l', 'maps')
    path = draw(tmp_path / 'a.png')
    body = {'task': 'maps'}
    decide(line, path, decision='defective', kinds=['anomaly'], body=body)
    decide(line, path, decision='unknown product', body=body)
    decide(line, path, body=body)
    give(line, path, 'missed', kind='scratch')
    assert [one[1] for one in told(line, 'scratch')] == [
        'found',
        'not decided',
        'overlooked',
    ]


def test_exception_a_kind_that_nobody_knows(line: Line) -> None:
    with pytest.raises(ValueError, match=r"'carck': .*did you mean crack"):
        since_when_kind(line, 'carck')


def test_exception_a_line_without_versions(tmp_path: Path) -> None:
    new = Line.create(tmp_path / 'new')
    with pytest.raises(ValueError, match=r'crack: .*new has had no version yet'):
        since_when_kind(new, 'crack')


def test_feature_of_many_rows_few_are_read(line: Line) -> None:
    """20,000 other decisions: each step of the plan is answered by an index."""
    line.log.append_many(
        {
            'kind': 'decision',
            'version': 'v0002',
            'image': f'{number:064x}',
            'decision': 'defective',
            'kinds': ['crack'],
        }
        for number in range(20_000)
    )
    give(line, 'a.png', 'missed', kind='crack')
    assert [one[:2] for one in told(line)] == [
        ('v0001', 'found'),
        ('v0002', 'overlooked'),
    ]
    db = sqlite3.connect(line.db_path)
    image = next(line.log.rows(kind='verdict')).image
    values = (json.dumps([image]), 'crack', 'crack')
    plan = db.execute(f'EXPLAIN QUERY PLAN {KIND_SQL}', values).fetchall()
    scans = {one[3].split()[1] for one in plan if one[3].startswith('SCAN')}
    assert scans == {'json_each', 'shown'}  # the images that are given
    work = _steps(db, KIND_SQL, values)
    assert work < 2_000, f'{work} steps for 25 rows'
    db.close()


def _steps(db: sqlite3.Connection, statement: str, values: tuple[str, ...]) -> int:
    """How many instructions SQLite carries out, in tens."""
    counted = [0]

    def tick() -> int:
        counted[0] += 10
        return 0

    db.set_progress_handler(tick, 10)
    db.execute(statement, values).fetchall()
    db.set_progress_handler(None, 0)
    return counted[0]


def test_feature_a_verdict_lets_other_kinds_stand(line: Line, tmp_path: Path) -> None:
    """They are on a reviewed image, here as in an export, and their misses count."""
    give(line, 'a.png', 'missed', kind='crack', box=CRACK['box'])
    add_version(line)
    decide(line, tmp_path / 'a.png', DENT, CRACK)
    give(line, 'a.png', 'false alarm', kind='dent')  # the crack is one
    found = since_when_kind(line, 'crack')
    exported = export_feedback(line, tmp_path / 'out').kinds
    assert found.confirmed == exported['crack'] == 1
    assert found.first_overlooked is not None
    assert found.first_overlooked.version == 'v0002'
    assert since_when_kind(line, 'dent').confirmed == 0
    assert 'dent' not in exported
