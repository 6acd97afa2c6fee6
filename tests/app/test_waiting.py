"""The queue, one image at a time, and verdicts on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.app import waiting
from mmdefect.app.desk import Desk
from mmdefect.line import queue
from mmdefect.line.folder import Line
from mmdefect.line.verdicts import give
from tests.helpers.page_line import THRESHOLDS, package
from tests.helpers.reviewed_line import decide, draw, make_line


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
    Path(queue.entries(line)[2].source or '').unlink()
    _, new = waiting.decided(desk, images[1], 'false alarm', by='Ann')
    assert new is not None
    assert new.image == images[2]
    assert 'the picture of' in new.said
    assert 'was not kept' in new.said
    row, new = waiting.decided(desk, images[3], 'missed', kind='crack', box='1 2 30 40')
    assert waiting.told(desk, row) == f'missed crack: written down, row {row.id}'
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
    _, new = waiting.decided(desk, images[0], 'confirmed')
    row, following = waiting.decided(desk, images[0], 'missed')
    assert following is not None
    said = f'missed anomaly: written down, row {row.id}; replaces confirmed, row '
    assert waiting.told(desk, row) == f'{said}{row.id - 1}'
    assert new is not None
    assert queue.entries(line)[0].image == new.image
    rows = [*line.log.rows(kind='verdict')][before:]
    assert [row.image for row in rows] == [images[0]] * 2


def test_feature_nothing_waits(line: Line) -> None:
    for entry in queue.entries(line):
        queue.done(line, entry.image)
    assert waiting.opened(Desk(line.folder)) is None


def test_feature_what_cannot_be_shown_is_a_card_and_can_be_dismissed(
    tmp_path: Path,
) -> None:
    """A file of zero bytes, a changed picture, a lost version, a damaged entry."""
    line = make_line(tmp_path / 'l', 'maps')
    for seed in range(4):
        row = decide(line, draw(tmp_path / f'{seed}.png', seed))
        assert queue.enqueue(line, row, 'margin')
    images = [entry.image for entry in queue.entries(line)]
    desk = Desk(line.folder)
    row = line.log.append('decision', version='v0001', source='empty.png')
    assert queue.enqueue(line, row, 'error', 'cannot read it (zero bytes)')
    changed = line.images.find(images[1])
    assert changed is not None
    (tmp_path / '1.png').unlink()
    changed.write_bytes((line.images.find(images[0]) or Path()).read_bytes())
    entry = line.queue_dir / f'{images[2]}.json'
    text = entry.read_text(encoding='utf-8')
    entry.write_text(text.replace('v0001', 'v0009'), encoding='utf-8')
    (line.queue_dir / f'{images[3]}.json').write_text('{}', encoding='utf-8')
    shown = waiting.opened(desk)
    for sentence in (
        'its entry in the queue is damaged',
        'its score is near',
        f'the kept picture {changed} was changed',
        'has no version v0009',
        'cannot read it (zero bytes)',
    ):
        assert shown is not None
        assert sentence in shown.said
        assert shown.picture.size
        shown = waiting.opened(desk, shown.image, step=1)
    for _ in range(5):
        shown = waiting.opened(desk)
        assert shown is not None
        shown = waiting.dismissed(desk, shown.image)
    assert shown is None
    assert line.log.count(kind='verdict') == 0


def test_exception_a_model_has_no_queue(tmp_path: Path) -> None:
    desk = Desk(package(tmp_path / 'plates', THRESHOLDS[0]))
    with pytest.raises(ValueError, match='is no line'):
        waiting.opened(desk)


def test_feature_what_another_says_meanwhile_is_news(tmp_path: Path) -> None:
    """Each time anew, and not what the card has shown."""
    line = make_line(tmp_path / 'l', 'maps')
    decided = decide(line, draw(tmp_path / 'a.png'))
    assert queue.enqueue(line, decided, 'margin')
    desk = Desk(line.folder)
    shown = waiting.opened(desk)
    assert shown is not None
    assert waiting.judged(desk, shown.image, {shown.verdict}) is None
    row = give(line, shown.image, 'confirmed', by='Bo')
    assert waiting.judged(desk, shown.image, {shown.verdict}) == row
    said = f'a.png was judged meanwhile: confirmed by Bo, row {row.id}. Press again'
    assert waiting.news(row).startswith(said)
    assert waiting.judged(desk, shown.image, {shown.verdict, row.id}) is None


def test_exception_in_words_of_the_page(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l')
    row = decide(line, draw(tmp_path / 'a.png'))
    with pytest.raises(ValueError, match='missed; choose it at Kind') as told:
        waiting.decided(Desk(line.folder), str(row.image), 'missed')
    assert '--' not in str(told.value)
    assert 'verdict=' not in str(told.value)
