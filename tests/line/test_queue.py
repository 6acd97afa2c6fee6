"""Which results a person has to look at, and how they wait."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmdefect.deploy.result import Prediction
from mmdefect.line import queue
from mmdefect.line.record import Recorder
from mmdefect.line.settings import LineSettings, QueueRule
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
    assert first == queue.Entry(
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
    assert found[1].image.startswith(queue.UNREAD)
    assert queue.done(line, found[0].image)
    assert queue.done(line, found[1].image)
    assert not [*line.queue_dir.iterdir()]


def test_exception_damaged(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l')
    (line.queue_dir / 'a.json').write_text('{"image": "a"}', encoding='utf-8')
    with pytest.raises(ValueError, match=r'a\.json is not as mmdefect wrote it'):
        queue.entries(line)
    assert LineSettings().queue.limit == 1000
