"""With which scores an exam's defects and all else were seen: what a slider counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmdefect.utils.files import file_sha256, write_json
from mmdefect.utils.text_files import read_json

if TYPE_CHECKING:
    from mmdefect.apis.inferencer import DefectInferencer
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.exams import Exam, ExamImage

#: Overlap from which on a box is one of those annotated, as the gate has it.
IOU = 0.5


class Scores(NamedTuple):
    """Scores of one class or product in an exam, sorted.

    Attributes:
        good: ``(N,)`` float32: good images (maps), images of other classes (labels),
            boxes that hit nothing annotated (boxes).
        bad: ``(M,)`` float32: what is a defect; minus infinity of a box that no score
            would find.
    """

    good: np.ndarray
    bad: np.ndarray


NO_SCORES = Scores(np.zeros(0, np.float32), np.zeros(0, np.float32))


def stored_scores(
    exam: Exam, model: DefectInferencer, package: Path, folder: Path
) -> dict[str, Scores]:
    """Scores of an exam by class or product: looked at once, then read from a file.

    Args:
        exam: Of the model's task.
        model: That looks.
        package: Its folder: a file is for one package and one exam, by their hashes.
        folder: Of these files; it is made.

    Raises:
        ValueError: The exam is of another task.
    """
    path = folder / f'{exam.name}-{package.name}.json'
    of = [file_sha256(one) for one in (exam.folder / 'exam.json', _described(package))]
    if path.is_file():
        content = read_json(path, 'scores of an exam')
        if content.get('of') == of:
            return {name: _read(one) for name, one in content['scores'].items()}
    found = exam_scores(exam, model)
    folder.mkdir(exist_ok=True)
    told = {name: [_plain(one) for one in scores] for name, scores in found.items()}
    write_json(path, {'of': of, 'scores': told})
    return found


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
    paths = [str(exam.path(image)) for image in exam.images]
    results = model(paths, show_progress=False)
    for image, result in zip(exam.images, results, strict=True):
        for name, score, is_defect in _seen(image, result, model):
            (bad if is_defect else good)[name].append(score)
    return {
        name: Scores(*(np.sort(np.array(one[name], np.float32)) for one in (good, bad)))
        for name in sorted(good.keys() | bad.keys())
    }


def _seen(
    image: ExamImage, result: Prediction, model: DefectInferencer
) -> Iterator[tuple[str, float, bool]]:
    """Name, score, and whether it is a defect: of all that one image shows."""
    if result.task == 'boxes':
        yield from _boxes(image, result)
    elif result.error is None and result.score is not None:
        if result.task == 'maps':
            name = image.product or result.product or model.spec.classes[0]
            yield name, result.score, bool(image.truths)
        elif (defective := model.spec.defective) is not None:
            kinds = {truth.kind for truth in image.truths}
            yield defective, result.score, defective in kinds


def _boxes(image: ExamImage, result: Prediction) -> Iterator[tuple[str, float, bool]]:
    """Greedy matching, the best box first: each annotated box is found once."""
    left = [truth for truth in image.truths if truth.box is not None]
    order = np.argsort(-result.scores, kind='stable')
    for at in order:
        name, box = result.names[at], result.boxes[at]
        own = [t for t in left if t.kind == name and _overlap(t.box, box) >= IOU]
        best = max(own, key=lambda t: _overlap(t.box, box), default=None)
        if best is None:
            yield name, float(result.scores[at]), False
        elif not best.ignored:  # what is ignored may be hit often, and counts never
            left.remove(best)
            yield name, float(result.scores[at]), True
    for truth in left:
        if not truth.ignored:
            yield truth.kind, -np.inf, True


def _overlap(one: tuple[float, ...] | None, other: np.ndarray) -> float:
    """Intersection over union of two boxes in x1, y1, x2, y2."""
    a, b = np.asarray(one, float), np.asarray(other, float)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(sides.clip(0).prod())
    areas = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod())
    return shared / max(areas - shared, 1e-9)


def _described(package: Path) -> Path:
    from mmdefect.deploy.package import FILE

    return package / FILE


def _plain(scores: np.ndarray) -> list[float | None]:
    """JSON knows no infinity."""
    return [float(one) if np.isfinite(one) else None for one in scores]


def _read(pair: list[list[float | None]]) -> Scores:
    arrays = [
        np.array([-np.inf if one is None else one for one in side], np.float32)
        for side in pair
    ]
    return Scores(*arrays)
