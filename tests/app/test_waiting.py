"""The queue, one image at a time, and verdicts on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.app import waiting
from mmdefect.app.desk import Desk
from mmdefect.line import queue
from mmdefect.line.folder import Line
from tests.helpers.page_line import THRESHOLDS, package


@pytest.fixture
def images(line: Line) -> list[str]:
    """Hashes of what waits, the oldest first."""
    return [entry.image for entry in queue.entries(line)]


def test_feature_one_after_the_other(line: Line, images: list[str]) -> None:
    """It ends at both ends; what waits no longer is the oldest again."""
    desk = Desk(line.folder)
    first = waiting.opened(desk)
    assert first is not None
    assert (first.image, first.size, first.classes) == (images[0], (192, 192), ())
    assert '1 of 4: its score is near to the threshold' in first.said
    assert 'part_0.png' in first.said
    for start, step, expected in ((0, 1, 1), (0, -1, 0), (3, 1, 3), (2, -1, 1)):
        shown = waiting.opened(desk, images[start], step=step)
        assert shown is not None
        assert shown.image == images[expected]
    again = waiting.opened(desk, 'f' * 64, step=1)
    assert again is not None
    assert again.image == images[0]


def test_exception_what_is_refused(line: Line, images: list[str]) -> None:
    """Nothing is written down."""
    desk = Desk(line.folder)
    for verdict, box, sentence in (
        ('false alarm', '', 'decided to be ok'),
        ('missed', '1 2 3', 'expected four numbers'),
        ('missed', '1 2 3 4000', '192'),
        ('good', '', "verdict='good'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            waiting.decided(desk, images[0], verdict, box=box)
    assert line.log.count(kind='verdict') == 0


def test_feature_a_verdict_opens_the_next(line: Line, images: list[str]) -> None:
    desk = Desk(line.folder)
    (line.images.find(images[2]) or Path()).unlink()
    new = waiting.decided(desk, images[1], 'false alarm', by='Ann')
    assert new is not None
    assert new.image == images[2]
    assert 'the picture of' in new.said
    assert 'was not kept' in new.said
    new = waiting.decided(desk, images[3], 'missed', kind='crack', box='1 2 30 40')
    assert new is not None
    assert new.image == images[2], 'behind the last there is the one before'
    first, second = line.log.rows(kind='verdict')
    assert (first.decision, first.body['by']) == ('false alarm', 'Ann')
    things = [{'name': 'crack', 'box': [1.0, 2.0, 30.0, 40.0]}]
    assert second.body['things'] == things


def test_feature_a_key_pressed_twice_is_of_what_was_seen(
    line: Line, images: list[str]
) -> None:
    """The second verdict is about the same image, and takes the first one's place."""
    desk = Desk(line.folder)
    before = line.log.count(kind='verdict')
    new = waiting.decided(desk, images[0], 'confirmed')
    assert waiting.decided(desk, images[0], 'missed') is not None
    assert new is not None
    assert queue.entries(line)[0].image == new.image
    rows = [*line.log.rows(kind='verdict')][before:]
    assert [row.image for row in rows] == [images[0]] * 2


def test_feature_nothing_waits(line: Line) -> None:
    for entry in queue.entries(line):
        queue.done(line, entry.image)
    assert waiting.opened(Desk(line.folder)) is None


def test_exception_a_model_has_no_queue(tmp_path: Path) -> None:
    desk = Desk(package(tmp_path / 'plates', THRESHOLDS[0]))
    with pytest.raises(ValueError, match='is no line'):
        waiting.opened(desk)
