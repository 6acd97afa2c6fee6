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
from mmdefect.app.exam_scores import Scores, exam_scores, keep_scores, read_scores
from mmdefect.deploy.spec import ModelSpec
from mmdefect.line.exam import ExamImage, Truth
from mmdefect.line.examine import Seen
from mmdefect.line.folder import Line
from tests.helpers.page_line import PRODUCT

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
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the threshold of each version the counts are those of the gate."""
    first = Desk(line.folder)
    for version, missed in (('v0001', 2), ('v0002', 0)):
        assert not first.is_examined('plates', version)
        assert len(first.scores('plates', version, PRODUCT).bad) == 0
        first.examine('plates', version)
        assert first.is_examined('plates', version)
        good, bad = first.scores('plates', version, PRODUCT)
        assert (len(good), len(bad)) == (6, 5)
        at = first.model(version).spec.threshold_of(PRODUCT)
        assert (int((bad < at).sum()), int((good >= at).sum())) == (missed, 0)

    def never(*given: Any) -> None:
        raise AssertionError('looked at again')

    monkeypatch.setattr(module, 'examine', never)
    again = Desk(line.folder).scores('plates', 'v0001', PRODUCT)
    assert np.array_equal(again.bad, first.scores('plates', 'v0001', PRODUCT).bad)


def test_feature_scores_are_of_one_exam_and_one_package(tmp_path: Path) -> None:
    """And of what no score would find there is null, which JSON knows."""
    scores = {'dent': Scores(np.float32([0.25]), np.float32([-np.inf, 0.5]))}
    path = tmp_path / 'scores' / 'e-v0001.json'
    keep_scores(path, scores, ['a', 'b'])
    assert json.loads(path.read_text())['scores'] == {'dent': [[0.25], [None, 0.5]]}
    found = read_scores(path, ['a', 'b'])
    assert found is not None
    assert found['dent'].bad.tolist() == [-np.inf, 0.5]
    assert read_scores(path, ['a', 'other']) is None
    assert read_scores(tmp_path / 'none.json', ['a', 'b']) is None


@pytest.mark.parametrize('scores', ['[]', '{"dent": 1}', '{"dent": [["a"], []]}'])
def test_feature_damaged_scores_are_none(tmp_path: Path, scores: str) -> None:
    """The exam is looked at anew."""
    path = tmp_path / 'e.json'
    path.write_text(f'{{"of": ["a", "b"], "scores": {scores}}}', encoding='utf-8')
    assert read_scores(path, ['a', 'b']) is None
    path.write_text('[]', encoding='utf-8')
    assert read_scores(path, ['a', 'b']) is None


def test_feature_scores_are_not_of_an_exam_that_was(line: Line) -> None:
    """That was retired, or added again under its name."""
    desk = Desk(line.folder)
    desk.examine('plates', 'v0001')
    assert desk.is_examined('plates', 'v0001')
    file = line.exams_dir / 'plates/exam.json'
    text = file.read_text(encoding='utf-8')
    file.write_text(text.replace('drawn', 'drawn anew'), encoding='utf-8')
    assert not desk.is_examined('plates', 'v0001')
    file.unlink()
    assert len(desk.scores('plates', 'v0001', PRODUCT).bad) == 0
    file.write_text(text, encoding='utf-8')
    assert desk.is_examined('plates', 'v0001')
