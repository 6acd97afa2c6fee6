"""A line or a model, opened when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmdefect.app import actions
from mmdefect.app.desk import OPEN, Desk
from mmdefect.line.folder import Line
from tests.helpers.hand_package import hand_package
from tests.helpers.page_line import THRESHOLDS, package, plate, write


def test_smoke_a_model_without_a_line(tmp_path: Path) -> None:
    desk = Desk(package(tmp_path / 'plates', THRESHOLDS[0]))
    assert desk.line is None
    assert desk.versions() == [desk.current()] == ['plates']
    assert desk.exams() == []
    assert desk.is_examined(None, 'plates')
    assert len(desk.scores(None, 'plates', 'plate').bad) == 0


def test_feature_versions_of_a_line(line: Line) -> None:
    """Each is opened once; no more stay open than a page needs."""
    desk = Desk(line.folder)
    assert desk.versions() == ['v0002', 'v0001']
    assert desk.current() == 'v0002'
    assert desk.exams() == ['plates']
    for version, threshold in zip(('v0001', 'v0002'), THRESHOLDS, strict=True):
        assert desk.model(version).spec.threshold_of('plate') == threshold
    assert desk.model() is desk.model('v0002')
    assert len(desk._opened) == 2 <= OPEN
    with pytest.raises(FileNotFoundError, match='no version v0009'):
        desk.model('v0009')


@pytest.mark.parametrize(
    ('current', 'before'),
    [('v0003', 'v0002'), ('v0002', 'v0001'), ('v0001', 'v0003'), (None, 'v0003')],
)
def test_feature_what_the_version_in_use_is_compared_with(
    line: Line, monkeypatch: pytest.MonkeyPatch, current: str | None, before: str
) -> None:
    """Never with itself, though a rollback has made an older one that in use."""
    desk = Desk(line.folder)
    monkeypatch.setattr(desk, 'versions', lambda: ['v0003', 'v0002', 'v0001'])
    monkeypatch.setattr(desk, 'current', lambda: current)
    assert desk.before() == before


def test_exception_no_version_yet(tmp_path: Path) -> None:
    Line.create(tmp_path / 'new')
    desk = Desk(tmp_path / 'new')
    assert desk.versions() == []
    assert desk.before() is None
    with pytest.raises(FileNotFoundError, match='mmdefect line promote'):
        desk.model()


@pytest.mark.parametrize(
    ('task', 'spec', 'name'),
    [
        ('boxes', {'default_threshold': 0.2}, 'dent'),
        ('labels', {'defective': 'red', 'thresholds': {'red': 0.2}}, 'red'),
        ('maps', {'thresholds': {'bottle': 0.2}}, 'bottle'),
    ],
)
def test_feature_every_task_is_looked_at_drawn_and_moved(
    tmp_path: Path, task: str, spec: dict[str, Any], name: str
) -> None:
    """And a file that is no image is a result like others."""
    desk = Desk(hand_package(tmp_path / task, task, **spec).folder)
    good = write(tmp_path / 'part.png', plate(0, 240))
    bad = tmp_path / 'bad.png'
    bad.write_bytes(b'no image')
    found = [*desk.model()([good, bad], show_progress=False, keep_images=True)]
    assert [one.decision for one in found] == ['defective', 'undecided']
    pictures, captions = zip(*map(actions.card, found), strict=True)
    assert captions == ('part.png: defective', 'bad.png: error')
    assert all(picture.shape[2] == 3 for picture in pictures)
    assert name in actions.movable(desk.model().spec)
    above = desk.model().spec.with_threshold(
        dict.fromkeys(desk.model().spec.classes, 1)
    )
    assert [actions.moved(one, above).decision for one in found] == ['ok', 'undecided']
