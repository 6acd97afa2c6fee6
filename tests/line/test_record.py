"""What is written down of a decision, and what happens when it cannot be."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmdefect.deploy.result import Prediction
from mmdefect.line import record
from mmdefect.line.folder import Line
from mmdefect.line.record import MOST_BOXES, Recorder
from mmdefect.line.settings import LineSettings, QueueRule

IMAGE = np.full((40, 60, 3), 70, np.uint8)
DATA = cv2.imencode('.jpg', IMAGE)[1].tobytes()
HASH = hashlib.sha256(DATA).hexdigest()


def make_line(tmp_path: Path, **settings: Any) -> Line:
    line = Line.create(tmp_path / 'l', settings=LineSettings(**settings))
    (line.versions_dir / 'v0001').mkdir()
    return line


def boxes(*scores: float, threshold: float = 0.5) -> Prediction:
    number = len(scores)
    return Prediction(
        source='a.jpg',
        task='boxes',
        size=(60, 40),
        decision='defective' if max(scores, default=0) >= threshold else 'ok',
        calibrated=True,
        threshold=threshold,
        score=max(scores, default=None),
        boxes=np.float32([[1, 2, 3.14159, 4]] * number).reshape(-1, 4),
        scores=np.float32(scores),
        labels=np.zeros(number, np.int64),
        names=('dent',) * number,
        thresholds=np.full(number, threshold, np.float32),
    )


def test_smoke_boxes(tmp_path: Path) -> None:
    line = make_line(tmp_path)
    recorder = Recorder(line, version='v0001')
    assert recorder.record(boxes(0.75, 0.25), data=DATA, image=IMAGE) is None
    (row,) = line.log.rows()
    assert (row.kind, row.version, row.image) == ('decision', 'v0001', HASH)
    assert (row.decision, row.score, row.threshold) == ('defective', 0.75, 0.5)
    assert (row.source, row.kinds) == ('a.jpg', ('dent',))
    assert row.body == {
        'task': 'boxes',
        'size': [60, 40],
        'calibrated': True,
        'brightness': 70.0,
        'sharpness': 0.0,
        'boxes': [{'box': [1.0, 2.0, 3.14, 4.0], 'name': 'dent', 'score': 0.75}],
    }
    assert line.images.find(HASH).read_bytes() == DATA
    assert line.images.find(HASH).suffix == '.jpg'


def test_feature_maps_and_labels(tmp_path: Path) -> None:
    """A region of a map is an anomaly; of thousands the best are kept."""
    line = make_line(tmp_path)
    recorder = Recorder(line, version='v0001')
    spots = np.zeros((60, 60), np.float32)
    spots[::4, ::4] = 1 + np.arange(225).reshape(15, 15)
    found = dict(source='a', size=(60, 60), decision='defective', threshold=0.5)
    recorder.record(Prediction(task='maps', anomaly_map=spots, score=225.0, **found))
    label = dict(name='red', label=0, probability=0.75, score=0.75)
    recorder.record(Prediction(task='labels', **label, **found))
    recorder.record(Prediction(source='b', task='maps', error='broken'))
    spotted, red, broken = line.log.rows()
    assert spotted.kinds == ('anomaly',)
    assert len(spotted.body['boxes']) == MOST_BOXES
    assert spotted.body['boxes'][0]['score'] == 225.0
    assert spotted.body['boxes_left_out'] == 125
    assert (red.kinds, red.body['probability']) == (('red',), 0.75)
    assert (broken.decision, broken.body['error']) == ('undecided', 'broken')
    assert broken.image is None


@pytest.mark.parametrize(
    ('policy', 'numbers'),
    [('none', []), ('alarms', [1]), ('all', [0, 1]), ('newest', [0, 1])],
)
def test_feature_which_pictures_are_kept(
    tmp_path: Path, policy: Any, numbers: list[int]
) -> None:
    line = make_line(tmp_path, keep_images=policy)
    recorder = Recorder(line, version='v0001')
    for number, found in enumerate((boxes(0.1), boxes(0.9))):
        recorder.record(found, image=IMAGE + np.uint8(number))
    rows = [*line.log.rows()]
    kept = [at for at, row in enumerate(rows) if line.images.find(row.image)]
    assert kept == numbers
    for at in kept:
        picture = cv2.imread(str(line.images.find(rows[at].image)))
        assert (picture == IMAGE + np.uint8(at)).all()


def test_feature_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the policy, its picture is kept: it could not be looked at otherwise."""
    put = []
    monkeypatch.setattr(record, 'consider', lambda found, rule: 'low margin')
    monkeypatch.setattr(record, 'enqueue', lambda *given: put.append(given))
    line = make_line(tmp_path, keep_images='none')
    Recorder(line, version='v0001').record(boxes(0.1), data=DATA, image=IMAGE)
    (row,) = line.log.rows()
    assert row.body['queued'] == 'low margin'
    assert put == [(line, row, 'low margin', None)]
    assert line.images.find(HASH)
    assert line.log.days()[0].queued == 1


@pytest.mark.parametrize('policy', ['none', 'alarms'])
def test_feature_a_full_queue_keeps_no_more_pictures(
    tmp_path: Path, policy: Any
) -> None:
    """What cannot be read is no alarm: else whoever sends it would fill the disk."""
    line = make_line(tmp_path, keep_images=policy, queue=QueueRule(limit=2))
    recorder = Recorder(line, version='v0001')
    failed = Prediction(source='a', task='boxes', error='broken')
    contents = [b'%d' % number for number in range(4)]
    for data in [*contents, contents[0]]:
        recorder.record(failed, data=data)
    rows = [*line.log.rows()]
    assert [line.images.find(str(row.image)) is not None for row in rows] == [
        True, True, False, False, True,
    ]  # fmt: skip
    assert {row.body['queued'] for row in rows} == {'error'}
    assert len([*line.queue_dir.iterdir()]) == 2


def test_feature_an_image_on_which_the_model_fails_has_a_size(tmp_path: Path) -> None:
    """Whoever looks at it may draw boxes on it."""
    line = make_line(tmp_path)
    failed = Prediction(source='a', task='boxes', error='out of memory')
    Recorder(line, version='v0001').record(failed, data=DATA, image=IMAGE)
    assert next(line.log.rows()).body['size'] == [60, 40]


@pytest.mark.parametrize('gone', ['by another thread', 'by another process'])
def test_feature_what_waits_is_kept_when_room_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """Even between its picture and its entry in the queue."""
    line = make_line(tmp_path, keep_images='newest', keep_gb=len(DATA) * 1.5e-9)
    real = record.enqueue

    def late(*given: Any) -> bool:
        if gone == 'by another process':
            line.images.find(HASH).unlink()
        else:
            line.images.add('0' * 64, DATA, suffix='.jpg')
            assert line.images.find(HASH)
        return real(*given)

    monkeypatch.setattr(record, 'consider', lambda found, rule: 'margin')
    monkeypatch.setattr(record, 'enqueue', late)
    Recorder(line, version='v0001').record(boxes(0.1), data=DATA, image=IMAGE)
    assert line.images.find(HASH)


def test_feature_what_is_reviewed_is_not_queued(tmp_path: Path) -> None:
    """And no row says that it was."""
    line = make_line(tmp_path)
    line.log.append('verdict', image=HASH)
    failed = Prediction(source='a', task='maps', error='broken')
    Recorder(line, version='v0001').record(failed, data=DATA)
    row = next(line.log.rows(kind='decision'))
    assert 'queued' not in row.body
    assert [*line.queue_dir.iterdir()] == []


def full(*args: Any, **more: Any) -> None:
    raise OSError(errno.ENOSPC, 'No space left on device')


@pytest.mark.parametrize('broken', ['append', 'add', 'enqueue'])
@pytest.mark.parametrize('policy', ['refuse', 'serve'])
def test_exception_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Any, broken: str
) -> None:
    """Refused or served, as the line says; and in either case it is said."""
    line = make_line(tmp_path, on_full_disk=policy)
    monkeypatch.setattr(record, 'consider', lambda found, rule: 'low margin')
    monkeypatch.setattr(record, 'enqueue', lambda *given: None)
    if broken == 'enqueue':
        monkeypatch.setattr(record, 'enqueue', full)
    else:
        owner = line.log if broken == 'append' else line.images
        monkeypatch.setattr(owner, broken, full)
    recorder = Recorder(line, version='v0001')
    what = {
        'append': 'its row in the log is not written',
        'add': 'its picture is not kept',
        'enqueue': 'its row is written, but it is not put into the queue',
    }[broken]
    why = rf'{what} \(\[Errno 28\] No space left on device\)'
    if policy == 'refuse':
        refused = rf'the decision on a\.jpg is refused, as on_full_disk of .*: {why}'
        with pytest.raises(OSError, match=refused):
            recorder.record(boxes(0.9), data=DATA, image=IMAGE)
    else:
        note = recorder.record(boxes(0.9), data=DATA, image=IMAGE)
        assert note.startswith(f'served without a whole record: {what} (')
    rows = {'append': 0, 'add': int(policy == 'serve'), 'enqueue': 1}[broken]
    assert line.log.count() == rows
    if broken == 'add' and rows:
        assert what in next(line.log.rows()).body['picture']


def test_exception_a_model_of_another_line(tmp_path: Path) -> None:
    line = make_line(tmp_path)
    with pytest.raises(ValueError, match='the model is no version of the line'):
        Recorder(line, version=None)
    with pytest.raises(FileNotFoundError, match='has no version v0002'):
        Recorder(line, version='v0002')
