"""A line or a model, opened when it is asked for."""

from __future__ import annotations

from pathlib import Path

from mmdefect.app.desk import Desk
from tests.helpers.page_line import package


def test_smoke_a_model_without_a_line(tmp_path: Path) -> None:
    desk = Desk(package(tmp_path / 'plates', 0.7))
    assert desk.line is None
    assert desk.versions() == ['plates']
    assert desk.current() == 'plates'
    assert desk.exams() == []
    assert desk.model('plates').spec.threshold_of('plate') == 0.7
    assert len(desk.scores(None, 'plates', 'plate').bad) == 0
