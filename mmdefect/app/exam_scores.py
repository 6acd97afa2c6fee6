"""With which scores an exam's defects and all else were seen: what a slider counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmdefect.line.examine import Seen, examine
from mmdefect.utils.files import write_json
from mmdefect.utils.text_files import read_json

if TYPE_CHECKING:
    from mmdefect.apis.inferencer import DefectInferencer
    from mmdefect.deploy.spec import ModelSpec
    from mmdefect.line.exam import Exam, ExamImage


class Scores(NamedTuple):
    """Scores of one class or product in an exam, sorted.

    Attributes:
        good: ``(N,)`` float32, of what is no defect: good images (maps), images of
            other classes (labels), boxes that hit nothing annotated (boxes).
        bad: ``(M,)`` float32, of defects; minus infinity of what no score would find.
    """

    good: np.ndarray
    bad: np.ndarray


NO_SCORES = Scores(np.zeros(0, np.float32), np.zeros(0, np.float32))


def read_scores(path: Path, of: list[str]) -> dict[str, Scores] | None:
    """Scores that were kept; None if there are none of this exam and package, whole.

    Args:
        path: The file.
        of: Hashes of both.
    """
    if not path.is_file():
        return None
    try:
        content = read_json(path, 'scores of an exam')
        if content.get('of') != of:
            return None
        return {name: _read(*two) for name, two in content['scores'].items()}
    except (AttributeError, KeyError, TypeError, ValueError):  # looked at anew
        return None


def keep_scores(path: Path, scores: dict[str, Scores], of: list[str]) -> None:
    """Write scores for :func:`read_scores`; the folder is made."""
    path.parent.mkdir(exist_ok=True)
    told = {name: [_plain(one) for one in two] for name, two in scores.items()}
    write_json(path, {'of': of, 'scores': told})


def exam_scores(exam: Exam, model: DefectInferencer) -> dict[str, Scores]:
    """Look at an exam, and sort its scores by class (of maps: by product).

    Raises:
        ValueError: The exam is of another task.
    """
    if exam.task != model.spec.task:
        raise ValueError(
            f'exam {exam.name} is of {exam.task}: expected one of {model.spec.task}, '
            'as the model; choose another'
        )
    good: dict[str, list[float]] = defaultdict(list)
    bad: dict[str, list[float]] = defaultdict(list)
    (result,) = examine(exam, [model])
    for image, seen in zip(exam.images, result.seen, strict=True):
        for name, score, is_defect in _scored(image, seen, model.spec):
            (bad if is_defect else good)[name].append(score)
    names = sorted(good.keys() | bad.keys())
    return {name: _read(sorted(good[name]), sorted(bad[name])) for name in names}


def _scored(
    image: ExamImage, seen: Seen, spec: ModelSpec
) -> Iterator[tuple[str, float, bool]]:
    """Name, score, and whether it is a defect: of all that one image shows."""
    scores = [-np.inf if one is None else one for one in seen.hits]
    if spec.task == 'boxes':
        for truth, score in zip(image.truths, scores, strict=True):
            if not truth.ignored:
                yield truth.kind, score, True
        for name, score in seen.foreign:
            yield name, score, False
    elif spec.task == 'maps':
        name = image.product or spec.classes[0]
        if image.truths:
            yield name, scores[0], True
        elif seen.score is not None:
            yield name, seen.score, False
    elif spec.defective is not None:
        for truth, score in zip(image.truths, scores, strict=True):
            yield spec.defective, score, truth.kind == spec.defective


def _plain(scores: np.ndarray) -> list[float | None]:
    """JSON knows no infinity."""
    return [float(one) if np.isfinite(one) else None for one in scores]


def _read(*sides: list[float] | list[float | None]) -> Scores:
    good, bad = (
        np.array([-np.inf if one is None else one for one in side], np.float32)
        for side in sides
    )
    return Scores(good, bad)
