"""Which results a person has to look at, and how they wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdefect.deploy.result import Prediction
from mmdefect.line import queue
from mmdefect.line.queue_entry import DAMAGED, UNREAD, Entry
from mmdefect.line.record import Recorder
from mmdefect.line.settings import QueueRule
from mmdefect.line.verdicts import give
from tests.helpers.reviewed_line import decide, draw, make_line


def boxes(*pairs: tuple[float, float]) -> Prediction:
    """Boxes with a score and the threshold of its class each."""
    scores, thresholds = np.float32(pairs).reshape(-1, 2).T
    number = len(pairs)
    return Prediction(
        source='a.png',
        task='boxes',
        boxes=np.zeros((number, 4), np.float32),
        scores=scores,
        thresholds=thresholds,
        labels=np.zeros(number, np.int64),
        names=('dent',) * number,
    )


def whole(**fields: Any) -> Prediction:
    return Prediction(source='a.png', task='maps', **{'decision': 'ok', **fields})


@pytest.mark.parametrize(
    ('prediction', 'reason'),
    [
        (whole(error='broken', decision='unknown product'), 'error'),
        (
            whole(decision='unknown product', score=9.0, threshold=9.0),
            'unknown product',
        ),
        (whole(score=0.55, threshold=0.5), 'margin'),
        (whole(score=0.45, threshold=0.5), 'margin'),
        (whole(score=0.56, threshold=0.5), None),
        (whole(score=0.44, threshold=0.5), None),
        (whole(score=-1.9, threshold=-2.0), 'margin'),
        (whole(score=0.01, threshold=0.0), None),
        (whole(score=0.5, decision='undecided'), None),
        (boxes(), None),
        (boxes((0.9, 0.5), (0.29, 0.3)), 'margin'),
        (boxes((0.9, 0.5), (0.1, 0.3)), None),
        (boxes((0.55, 0.5)), 'margin'),
        (boxes((0.5, np.nan)), None),
    ],
)
def test_feature_the_rule(prediction: Prediction, reason: str | None) -> None:
    assert queue.consider(prediction, QueueRule()) == reason


def test_feature_the_rule_is_set_by_the_line() -> None:
    unknown = whole(decision='unknown product')
    assert queue.consider(unknown, QueueRule(unknown_product=False)) is None
    near = whole(score=0.54, threshold=0.5)
    assert queue.consider(near, QueueRule(margin=0.05)) is None
    assert queue.consider(whole(score=0.5, threshold=0.5), QueueRule(margin=0))
    with pytest.raises(ValueError, match=r'queue.limit=-1: expected at least 0'):
        QueueRule(limit=-1)


def test_smoke_oldest_first(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l')
    rows = [decide(line, draw(tmp_path / f'{n}.png', n)) for n in range(3)]
    for row in (rows[2], rows[0], rows[1], rows[0]):  # once however often it is seen
        assert queue.enqueue(line, row, 'margin')
    assert [one.row for one in queue.entries(line)] == [row.id for row in rows]
    assert [one.row for one in queue.entries(line, limit=1)] == [rows[0].id]
    assert queue.count(line) == 3
    first = queue.entries(line)[0]
    assert first == Entry(
        image=str(rows[0].image),
        reason='margin',
        row=rows[0].id,
        time=rows[0].time,
        source=str(tmp_path / '0.png'),
        version='v0001',
        decision='ok',
        score=0.25,
        threshold=0.5,
    )
    path = line.queue_dir / f'{first.image}.json'
    assert json.loads(path.read_text(encoding='utf-8'))['reason'] == 'margin'
    assert line.is_queued(first.image)
    assert queue.done(line, first.image)
    assert not queue.done(line, first.image)
    assert not line.is_queued(first.image)


def test_feature_is_full(tmp_path: Path) -> None:
    """Later ones are not taken until some are done."""
    line = make_line(tmp_path / 'l', queue=QueueRule(limit=2))
    rows = [decide(line, draw(tmp_path / f'{n}.png', n)) for n in range(3)]
    assert [queue.enqueue(line, row, 'margin') for row in rows] == [True, True, False]
    assert queue.is_full(line)
    queue.done(line, str(rows[0].image))
    assert queue.enqueue(line, rows[2], 'margin')
    assert [one.row for one in queue.entries(line)] == [rows[1].id, rows[2].id]


def test_feature_what_is_reviewed_does_not_come_back(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l')
    row = decide(line, draw(tmp_path / 'a.png'))
    queue.enqueue(line, row, 'margin')
    give(line, str(row.image), 'confirmed')
    assert queue.count(line) == 0
    assert not queue.enqueue(line, row, 'margin')
    assert queue.count(line) == 0


def test_feature_filled_by_decisions(tmp_path: Path) -> None:
    """Frames have the hash of their pixels, and what cannot be read none at all."""
    line = make_line(tmp_path / 'l')
    recorder = Recorder(line, version='v0001')
    frame = np.full((4, 6, 3), 9, np.uint8)
    near = whole(size=(6, 4), score=0.5, threshold=0.5)
    recorder.record(near, image=frame)
    recorder.record(near, image=frame)
    recorder.record(whole(error='no image'))
    found = queue.entries(line)
    assert [one.reason for one in found] == ['margin', 'error']
    assert found[0].image.startswith('pixels:')
    assert found[1].image.startswith(UNREAD)
    assert queue.done(line, found[0].image)
    assert queue.done(line, found[1].image)
    assert not [*line.queue_dir.iterdir()]


def test_feature_which_boxes_are_near_is_said(tmp_path: Path) -> None:
    """The nearest first; beside them what could not be read says why."""
    line = make_line(tmp_path / 'l')
    rule = line.settings.queue
    near = boxes((0.9, 0.5), (0.29, 0.3), (0.52, 0.5), (0.5, 0.5), (0.46, 0.5))
    told = queue.detail_of(near, rule, 'margin')
    assert told == (
        'dent 0.5 of 0.5 at 0 0 0 0, dent 0.29 of 0.3 at 0 0 0 0, '
        'dent 0.52 of 0.5 at 0 0 0 0 and 1 more'
    )
    assert queue.detail_of(whole(score=0.5, threshold=0.5), rule, 'margin') is None
    recorder = Recorder(line, version='v0001')
    recorder.record(near, image=np.full((4, 6, 3), 9, np.uint8))
    recorder.record(whole(error='zero bytes'))
    assert [one.detail for one in queue.entries(line)] == [told, 'zero bytes']


def test_feature_found_by_hash_or_name(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l')
    recorder = Recorder(line, version='v0001')
    unread = whole(error='zero bytes')
    recorder.record(unread, source=str(tmp_path / 'a/empty.png'))
    recorder.record(unread, source='b/empty.png')
    recorder.record(unread, source='c/torn.png')
    first = queue.entries(line)[0]
    (digits,) = first.image.split(':')[1:]
    for given in (first.image, first.image[:15], digits, str(first.source)):
        assert queue.find(line, given) == first
    assert queue.find(line, 'torn.png').source == 'c/torn.png'
    with pytest.raises(ValueError, match=r"'empty.png' fits 2: .*expected one image"):
        queue.find(line, 'empty.png')
    for given in ('rn.png', '../line', digits[:4], ''):
        with pytest.raises(ValueError, match='is not in the queue: expected one'):
            queue.find(line, given)
    assert not queue.done(line, '../line')
    assert (line.folder / 'line.json').is_file()


@pytest.mark.parametrize(
    ('change', 'why'),
    [
        ({'kinds': 7}, 'kinds=7'),
        ({'kinds': [7]}, 'kinds=7'),
        ({'row': '1'}, "row='1'"),
        ({'time': None}, 'time=None'),
        ({'source': 7}, 'source=7: expected text'),
        ({'score': 'high'}, "score='high'"),
        ({'image': 'a'}, "image='a'"),
        ({'more': 1}, 'more'),
    ],
)
def test_exception_damaged(tmp_path: Path, change: dict, why: str) -> None:
    """One sentence that stands in the queue, in nobody's way, and can be dismissed."""
    line = make_line(tmp_path / 'l')
    for seed in range(2):
        queue.enqueue(line, decide(line, draw(tmp_path / f'{seed}.png', seed)), 'error')
    image = queue.entries(line)[0].image
    path = line.queue_dir / f'{image}.json'
    content = json.loads(path.read_text(encoding='utf-8'))
    path.write_text(json.dumps({**content, **change}), encoding='utf-8')
    damaged, sound = queue.entries(line)
    assert (damaged.reason, damaged.image, sound.reason) == (DAMAGED, image, 'error')
    assert f'{image}.json is not as mmdefect wrote it' in str(damaged.detail)
    assert why in str(damaged.detail)
    assert queue.done(line, damaged.image)
    assert queue.entries(line) == [sound]


@pytest.mark.parametrize('text', ['', '[]', '{"image": "a"}', '7'])
def test_exception_no_entry(tmp_path: Path, text: str) -> None:
    line = make_line(tmp_path / 'l')
    path = line.queue_dir / f'pixels-{"0" * 64}.json'
    path.write_text(text, encoding='utf-8')
    (damaged,) = queue.entries(line)
    assert damaged.image == f'pixels:{"0" * 64}'
    assert str(path) in str(damaged.detail)
    assert queue.done(line, damaged.image)


def test_feature_what_is_none_of_ours_stays(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l')
    for name in ('notes.json', 'a.tmp', 'notes.json.tmp'):
        (line.queue_dir / name).write_text('mine', encoding='utf-8')
    assert (queue.entries(line), queue.count(line)) == ([], 0)
    queue.sweep(line)
    assert len([*line.queue_dir.iterdir()]) == 3
