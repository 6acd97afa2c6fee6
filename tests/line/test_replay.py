"""Since when an image is overlooked: every version looks at it again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmdefect.line.folder import Line
from mmdefect.line.replay import Period, decisions_in, since_when_image
from mmdefect.line.verdicts import give
from tests.helpers.reviewed_line import CRACK, add_version, decide, draw, make_line

RED = (0, 0, 200)
"""Scores a crack 0.78."""
BLIND = {'thresholds': {'dent': 0.5, 'crack': 0.9}}


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """v0002 is blind, v0003 is not; then v0002 is gone back to."""
    line = make_line(tmp_path / 'l')
    path = draw(tmp_path / 'red.png', colour=RED)
    decide(line, path, CRACK)
    add_version(line, **BLIND)
    decide(line, path)
    add_version(line)
    line.log.append('promotion', version='v0004', body={'state': 'refused'})
    line.log.append('rollback', version='v0002')
    return line


def test_smoke_from_when_to_when(line: Line, tmp_path: Path) -> None:
    found = since_when_image(line, tmp_path / 'red.png')
    assert [(one.period.version, one.state) for one in found.replays] == [
        ('v0001', 'found'),
        ('v0002', 'overlooked'),
        ('v0003', 'found'),
        ('v0002', 'overlooked'),
    ]
    times = [row.time for row in line.log.rows(kind='promotion')]
    times += [row.time for row in line.log.rows(kind='rollback')]
    assert found.overlooked == [
        Period(version='v0002', since=times[1], until=times[2]),
        Period(version='v0002', since=times[4], until=None),
    ]
    decided = [one.decided for one in found.replays]
    assert decided == [{'defective': 1}, {'ok': 1}, {}, {'ok': 1}]
    first = found.replays[0].prediction
    assert first is not None
    assert first.kinds == ('crack',)
    assert first.score == pytest.approx(200 / 255)


def test_feature_a_clock_that_went_back(line: Line, tmp_path: Path) -> None:
    """Decisions belong to a time by the order of the rows."""
    red = tmp_path / 'red.png'
    line.log.append('decision', version='v0002', time='2020-01-01', decision='ok')
    line.log.append('rollback', version='v0003', time='2020-01-02')
    line.log.append('decision', version='v0003', time='2020-01-03', decision='ok')
    found = since_when_image(line, red)
    assert [decisions_in(line, one) for one in found.overlooked] == [1, 1]
    assert decisions_in(line, found.replays[-1].period) == 1


def test_feature_neighbours_are_put_together(line: Line, tmp_path: Path) -> None:
    add_version(line, **BLIND)  # after v0002, which was gone back to
    found = since_when_image(line, tmp_path / 'red.png').overlooked
    assert [(one.version, one.until is None) for one in found] == [
        ('v0002', False),
        ('v0002', True),
    ]


def test_feature_by_its_kind(line: Line, tmp_path: Path) -> None:
    """What the verdict names, or what is asked for, has to be found."""
    for kind, given in (('dent', None), ('crack', 'crack')):
        give(line, 'red.png', 'missed', kind='dent')
        found = since_when_image(line, 'red.png', kind=given)
        assert found.kind == kind
        states = {'dent': 'called otherwise', 'crack': 'found'}
        assert found.replays[0].state == states[kind]
    give(line, 'red.png', 'confirmed')
    assert since_when_image(line, 'red.png').kind is None


def test_feature_an_image_that_the_line_has_not_seen(
    line: Line, tmp_path: Path
) -> None:
    found = since_when_image(line, draw(tmp_path / 'new.png', colour=(0, 0, 0)))
    assert {one.state for one in found.replays} == {'overlooked'}
    assert len(found.overlooked) == 1
    assert found.replays[0].decided == {}


def test_feature_a_package_is_gone(line: Line, tmp_path: Path) -> None:
    shutil.rmtree(line.versions_dir / 'v0002')
    found = since_when_image(line, tmp_path / 'red.png')
    assert [one.state for one in found.replays] == ['found', None, 'found', None]
    assert found.replays[1].prediction is None
    assert found.replays[1].decided == {'ok': 1}
    assert found.overlooked == []


def test_feature_a_product_that_is_told(tmp_path: Path) -> None:
    """A model that recognises none looks at the one that was decided on."""
    line = make_line(tmp_path / 'l', 'maps')
    path = draw(tmp_path / 'a.png', colour=(200, 200, 200))
    decide(line, path, product='bottle', body={'task': 'maps'})
    (one,) = since_when_image(line, path).replays
    assert one.state == 'found'
    assert one.prediction is not None
    assert one.prediction.product == 'bottle'


def test_exception(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l', keep_images='none')
    path = draw(tmp_path / 'a.png')
    decide(line, path)
    path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"a\.png .* is gone, as keep_images='no"
    ):
        since_when_image(line, 'a.png')
    with pytest.raises(ValueError, match='is no image of the log'):
        since_when_image(line, 'b.png')
    new = Line.create(tmp_path / 'new')
    with pytest.raises(FileNotFoundError, match='has had no version yet'):
        since_when_image(new, draw(path))
    with pytest.raises(FileNotFoundError, match='has had no version yet'):
        since_when_image(new, 'b.png')
    path.write_bytes(b'no image')
    (one,) = since_when_image(line, path).replays
    assert one.state == 'not decided'
    assert one.prediction is not None
    assert 'cannot read the image' in str(one.prediction.error)


def test_feature_a_damaged_version_does_not_stop_the_others(
    line: Line, tmp_path: Path
) -> None:
    package = line.versions_dir / 'v0001' / 'package.json'
    package.write_text(f'{package.read_text()} ')
    found = since_when_image(line, tmp_path / 'red.png')
    damaged, other = found.replays[:2]
    assert (damaged.state, damaged.prediction) == (None, None)
    assert 'is not the file that was promoted' in str(damaged.lacks)
    assert other.prediction is not None
    assert found.is_looked_at
