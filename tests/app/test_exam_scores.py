"""Scores of an exam, sorted: what the slider counts is what the gate counts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mmdefect.app import exam_scores as module
from mmdefect.app.desk import Desk
from mmdefect.app.exam_scores import exam_scores
from mmdefect.deploy.spec import ModelSpec
from mmdefect.line.exam import ExamImage, Truth
from mmdefect.line.examine import ExamResult, Seen
from tests.helpers.page_line import PRODUCT, page_line

BOX = (0.0, 0.0, 9.0, 9.0)


def seen(**given: Any) -> Seen:
    usual = {'score': None, 'threshold': 0.5, 'found': (), 'hits': (), 'false': ()}
    return Seen(file='a.png', decision='ok', **{**usual, **given})


def scored(
    monkeypatch: pytest.MonkeyPatch,
    spec: ModelSpec,
    images: dict[ExamImage, Seen],
) -> dict[str, tuple[list[float], list[float]]]:
    """Scores of what is none, and of defects, for an exam that was looked at."""
    result = SimpleNamespace(seen=tuple(images.values()))
    monkeypatch.setattr(module, 'examine', lambda exam, models: [result])
    exam: Any = SimpleNamespace(name='e', task=spec.task, images=tuple(images))
    found = exam_scores(exam, SimpleNamespace(spec=spec))  # type: ignore[arg-type]
    return {name: (one.good.tolist(), one.bad.tolist()) for name, one in found.items()}


def test_feature_boxes_by_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nothing hits would be found at no threshold; ignored regions count never."""
    spec = ModelSpec(task='boxes', classes=('dent', 'crack'), default_threshold=0.5)
    truths = (
        Truth(kind='dent', box=BOX),
        Truth(kind='dent', box=BOX),
        Truth(kind='crack', box=BOX, ignored=True),
    )
    foreign = (('crack', 0.25), ('dent', 0.125))
    images = {
        ExamImage(file='a.png', truths=truths): seen(
            hits=(0.75, None, 0.5), foreign=foreign
        ),
        ExamImage(file='b.png'): seen(foreign=(('crack', 0.5),)),
    }
    assert scored(monkeypatch, spec, images) == {
        'dent': ([0.125], [-np.inf, 0.75]),
        'crack': ([0.25, 0.5], []),
    }


def test_feature_labels_of_the_defective_class(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec(task='labels', classes=('ok', 'bad'), defective='bad')
    images = {
        ExamImage(file=f'{kind}.png', truths=(Truth(kind=kind),)): seen(hits=(score,))
        for kind, score in (('ok', 0.25), ('bad', 0.75))
    }
    assert scored(monkeypatch, spec, images) == {'bad': ([0.25], [0.75])}


def test_exception_an_exam_of_another_task(monkeypatch: pytest.MonkeyPatch) -> None:
    exam: Any = SimpleNamespace(name='e', task='boxes', images=())
    spec = ModelSpec(task='labels', classes=('ok', 'bad'))
    with pytest.raises(ValueError, match='exam e is of boxes: expected one of labels'):
        exam_scores(exam, SimpleNamespace(spec=spec))  # type: ignore[arg-type]


def test_feature_looked_at_once_then_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the threshold of each version the counts are those of the gate."""
    line = page_line(tmp_path)
    first = Desk(line.folder)
    for version, missed in (('v0001', 2), ('v0002', 0)):
        good, bad = first.scores('plates', version, PRODUCT)
        at = first.model(version).spec.threshold_of(PRODUCT)
        assert (int((bad < at).sum()), int((good >= at).sum())) == (missed, 0)
    file = line.folder / 'scores' / 'plates-v0001.json'
    assert json.loads(file.read_text(encoding='utf-8'))['of']

    def never(*given: Any) -> list[ExamResult]:
        raise AssertionError('looked at again')

    monkeypatch.setattr(module, 'examine', never)
    again = Desk(line.folder).scores('plates', 'v0001', PRODUCT)
    assert np.array_equal(again.bad, first.scores('plates', 'v0001', PRODUCT).bad)
