"""What versions find, miss and call a defect that is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmdefect.apis import DefectInferencer
from mmdefect.deploy.result import Prediction
from mmdefect.functional.box_matching import match_boxes
from mmdefect.line import examine as module
from mmdefect.line.exam import Exam, Truth
from mmdefect.line.examine import ExamResult, examine, match
from mmdefect.line.exams import add_exam
from mmdefect.line.folder import Line
from tests.helpers import exam_toys as toys
from tests.helpers.hand_package import hand_package


def exam_of(root: Path, **given: Any) -> Exam:
    return add_exam(Line.create(root / 'line'), 'frozen', **given)


def examined(exam: Exam, package: Path) -> ExamResult:
    return examine(exam, [DefectInferencer(package)])[0]


def told(result: ExamResult) -> dict[str, tuple]:
    """Class -> instances, found, false; and the false alarms of products."""
    kinds = {
        one.kind: (one.number, one.found, one.false) for one in result.counts.kinds
    }
    return kinds | {
        f'({one.product})': (one.number, one.false) for one in result.counts.products
    }


def test_smoke_boxes(tmp_path: Path) -> None:
    exam = exam_of(tmp_path, annotations=toys.box_exam(tmp_path / 'exam'))
    seeing = toys.box_package(tmp_path / 'seeing')
    blind = toys.blind_package(tmp_path / 'blind')
    good, bad = examine(exam, [DefectInferencer(seeing), DefectInferencer(blind)])
    assert told(good) == {'dent': (4, 4, 0), 'crack': (4, 4, 0), '()': (10, 0)}
    assert told(bad) == {'dent': (4, 4, 0), 'crack': (4, 0, 0), '()': (10, 0)}
    missed = bad.seen[4]
    assert (missed.file, missed.found, missed.decision) == (
        'crack05.png',
        (False,),
        'ok',
    )
    # With which score it would have been found, for whoever moves the threshold.
    assert missed.hits == (pytest.approx(250 / 255),)
    assert good.counts.calibrated
    assert not good.counts.failed


def test_feature_each_image_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exam = exam_of(tmp_path, annotations=toys.box_exam(tmp_path / 'exam'))
    read: list[str] = []

    def counted(data: bytes, path: Path, **more: Any) -> np.ndarray:
        read.append(path.name)
        return real(data, path, **more)

    real = module.image_of
    monkeypatch.setattr(module, 'image_of', counted)
    package = toys.box_package(tmp_path / 'seeing')
    examine(exam, [DefectInferencer(package) for _ in range(3)])
    assert read == [image.file for image in exam.images]


def test_exception_an_image_that_changes_after_it_was_compared(tmp_path: Path) -> None:
    exam = exam_of(tmp_path, annotations=toys.box_exam(tmp_path / 'exam'))
    toys.colour(exam.path(exam.images[3]), green=7)
    with pytest.raises(ValueError, match=r'dent04\.png was changed while the exam'):
        examine(exam, [DefectInferencer(toys.box_package(tmp_path / 'seeing'))])


def test_feature_boxes_that_hit_nothing(tmp_path: Path) -> None:
    """Cyan images: a dent is annotated, a dent and a crack are found elsewhere, too."""
    annotations = toys.box_exam(tmp_path / 'exam', dents=2, cracks=0, good=1)
    for name in ('dent01.png', 'good03.png'):
        toys.colour(tmp_path / 'exam' / name, blue=250, green=250)
    exam = exam_of(tmp_path, annotations=annotations)
    result = examined(exam, toys.box_package(tmp_path / 'seeing'))
    # On the first image a dent on the left, a crack in its place, a dent on the right.
    assert set(result.seen[0].false) == {'crack', 'dent'}
    assert result.seen[0].found == (True,)
    assert told(result) == {'dent': (2, 2, 3), 'crack': (0, 0, 2), '()': (3, 2)}


def test_feature_classes_that_a_version_does_not_know(tmp_path: Path) -> None:
    exam = exam_of(tmp_path, annotations=toys.box_exam(tmp_path / 'exam'))
    package = toys.box_package(
        tmp_path / 'one', classes=['dent'], thresholds={'dent': 0.5}
    )
    assert told(examined(exam, package))['crack'] == (4, None, None)


def test_feature_without_a_threshold_nothing_is_found(tmp_path: Path) -> None:
    exam = exam_of(tmp_path, annotations=toys.box_exam(tmp_path / 'exam'))
    package = toys.box_package(tmp_path / 'bare', thresholds={}, calibrated=False)
    result = examined(exam, package)
    assert told(result)['dent'] == (4, 0, 0)
    assert not result.counts.calibrated
    assert result.counts.bare == ()
    assert result.seen[0].hits[0] is not None


def test_feature_classes_without_a_threshold_are_known(tmp_path: Path) -> None:
    exam = exam_of(tmp_path, annotations=toys.box_exam(tmp_path / 'exam'))
    given = {'thresholds': {'dent': 0.5}, 'calibrated': False}
    package = toys.box_package(tmp_path / 'half', **given)
    assert examined(exam, package).counts.bare == ('crack',)


def test_feature_maps(tmp_path: Path) -> None:
    exam = exam_of(tmp_path, folder=toys.map_exam(tmp_path / 'exam'))
    for threshold, found, false in ((0.5, 4, 0), (0.01, 4, 4), (0.9, 0, 0)):
        folder = tmp_path / f'{threshold}'
        hand_package(folder, 'maps', thresholds={'bottle': threshold}, calibrated=True)
        result = examined(exam, folder)
        assert told(result) == {'crack': (4, found, None), '(bottle)': (4, false)}


def test_feature_an_unknown_product_is_neither_found_nor_ok(tmp_path: Path) -> None:
    """The memory of black images takes all others for none of its products."""
    exam = exam_of(tmp_path, folder=toys.map_exam(tmp_path / 'exam'))
    hand_package(tmp_path / 'p', 'routed', default_threshold=0.5, calibrated=True)
    result = examined(exam, tmp_path / 'p')
    assert {one.decision for one in result.seen} == {'unknown product'}
    assert told(result) == {'crack': (4, 0, None), '(bottle)': (4, 4)}


def test_feature_products_that_have_to_be_told_are(tmp_path: Path) -> None:
    exam = exam_of(tmp_path, folder=toys.map_exam(tmp_path / 'exam'))
    hand_package(
        tmp_path / 'p', 'maps', classes=['bottle', 'cable'],
        thresholds={'bottle': 0.5, 'cable': 0.0}, calibrated=True,
    )  # fmt: skip
    result = examined(exam, tmp_path / 'p')
    assert told(result) == {'crack': (4, 4, None), '(bottle)': (4, 0)}
    hand_package(tmp_path / 'q', 'maps', classes=['cable'], default_threshold=0.5)
    strange = examined(exam, tmp_path / 'q')
    assert told(strange) == {'crack': (4, None, None), '(bottle)': (4, None)}


def test_feature_labels(tmp_path: Path) -> None:
    exam = exam_of(tmp_path, folder=toys.label_exam(tmp_path / 'exam'))
    hand_package(tmp_path / 'p', 'labels')
    assert told(examined(exam, tmp_path / 'p')) == {
        'blue': (3, 3, 0),
        'green': (3, 3, 0),
        'red': (3, 3, 0),
        '()': (9, 0),
    }
    # From a probability of 0.2 on all is red: the others are false alarms.
    hand_package(tmp_path / 'q', 'labels', defective='red', thresholds={'red': 0.2})
    assert told(examined(exam, tmp_path / 'q')) == {
        'blue': (3, 0, 0),
        'green': (3, 0, 0),
        'red': (3, 3, 6),
        '()': (6, 6),
    }


def test_feature_what_cannot_be_looked_at_counts_against_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exam = exam_of(tmp_path, annotations=toys.box_exam(tmp_path / 'exam'))
    model = DefectInferencer(toys.box_package(tmp_path / 'seeing'))
    monkeypatch.setattr(model, 'backend', lambda images: 1 / 0)
    (result,) = examine(exam, [model])
    assert result.counts.failed == 10
    assert told(result) == {'dent': (4, 0, 0), 'crack': (4, 0, 0), '()': (10, 10)}
    assert 'ZeroDivisionError' in str(result.seen[0].error)


@pytest.mark.parametrize('seed', range(5))
def test_feature_matches_as_coco_does(seed: int) -> None:
    """By the rule of the metrics, which needs torch."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 12, (40, 2))
    boxes = np.hstack([corners, corners + random.integers(4, 9, (40, 2))])
    names = random.choice(['dent', 'crack'], 40)
    ignored = random.random(12) < 0.3
    truths = [
        Truth(kind=str(name), box=tuple(map(float, box)), ignored=bool(region))
        for name, box, region in zip(names[:12], boxes[:12], ignored, strict=True)
    ]
    found = Prediction(
        source='a',
        task='boxes',
        boxes=boxes[12:].astype(np.float32),
        scores=random.random(28).round(1).astype(np.float32),
        names=tuple(map(str, names[12:])),
    )
    hits, foreign = match(found, truths)
    groups = torch.from_numpy((names == 'dent').astype(np.int64))
    kinds = match_boxes(
        torch.from_numpy(boxes[12:].astype(np.float64)),
        torch.from_numpy(found.scores),
        torch.from_numpy(boxes[:12].astype(np.float64)),
        groups=groups[12:],
        truth_groups=groups[:12],
        ignored=torch.from_numpy(ignored),
    ).tolist()
    assert sorted(k for k in hits if k is not None) == [
        place for place, kind in enumerate(kinds) if kind == 1
    ]
    assert sorted(foreign) == [place for place, kind in enumerate(kinds) if kind == 0]
    assert any(kind == 1 for kind in kinds)
