"""Versions on an exam: what each finds, misses and calls a defect that is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmdefect.deploy.ahead import read_ahead
from mmdefect.deploy.decision import decide, failed
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.sources import content_of, image_of
from mmdefect.deploy.spec import ModelSpec
from mmdefect.line.exam import Exam, ExamImage, Truth
from mmdefect.line.gate import Counts, KindCount, ProductCount
from mmdefect.line.images import is_of

if TYPE_CHECKING:
    from mmdefect.apis.inferencer import DefectInferencer

#: Least intersection over union of a box that hits an annotated one.
IOU = 0.5


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one version has made of one image.

    Attributes:
        file: Of the image, below ``images/``.
        decision: As the prediction has it.
        score: What was compared with the threshold; None without boxes.
        threshold: The one that decided; None if there is none.
        found: Of each truth of the image, whether it was found.
        hits: Of each truth the score that it was found with, at whatever threshold;
            None if nothing hits it.
        false: What was called a defect and is none: classes of boxes, the wrong name of
            an image (labels), ``''`` (maps).
        foreign: Class and score of all boxes that hit nothing, at whatever threshold.
        error: Why the version could not look at it.
    """

    file: str
    decision: str
    score: float | None
    threshold: float | None
    found: tuple[bool, ...]
    hits: tuple[float | None, ...]
    false: tuple[str, ...] = ()
    foreign: tuple[tuple[str, float], ...] = ()
    error: str | None = None

    @property
    def alarm(self) -> bool:
        """Whether it is a false alarm: so is an image that it cannot look at."""
        return bool(self.false) or self.error is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """An image of an exam, and what each version says of it.

    Attributes:
        image: What is on it.
        pixels: ``(H, W, 3)``, BGR, uint8.
        predictions: Of each version.
        seen: What that means.
    """

    image: ExamImage
    pixels: np.ndarray
    predictions: tuple[Prediction, ...]
    seen: tuple[Seen, ...]


@dataclass(frozen=True, kw_only=True)
class ExamResult:
    """One version on one exam.

    Attributes:
        counts: What :func:`mmdefect.line.gate.compare` takes.
        seen: Image by image, in the order of the exam.
    """

    counts: Counts
    seen: tuple[Seen, ...]


def examine(exam: Exam, models: Sequence[DefectInferencer]) -> list[ExamResult]:
    """Examine versions; every image is decoded once for all of them.

    Boxes: one hits the annotated box of its class that it overlaps most, of those that
    are left, from an intersection over union of 0.5 on, the best score first (as COCO's
    evaluators match); it counts from the threshold of its class on. Maps: a defective
    image is found if it is called defective; a good one that is not called ok is a
    false alarm. ``unknown product`` is neither. Labels: an image is found if it gets
    its name. A product that the model recognises is not told to it, one that it has to
    be told is.

    Args:
        exam: Of the models' task.
        models: Of packages or of trained models.

    Returns:
        One result a model.
    """
    seen = [one.seen for one in look(exam, models)]
    return [
        result_of(exam, model.spec, [one[number] for one in seen])
        for number, model in enumerate(models)
    ]


def look(exam: Exam, models: Sequence[DefectInferencer]) -> Generator[Look, None, None]:
    """Look at the images of an exam one by one; see :func:`examine`."""
    with closing(read_ahead(_decoded(exam, models), size=2)) as frames:
        for image, pixels in frames:
            yield _looked(image, pixels, models)


def _looked(
    image: ExamImage, pixels: Sequence[np.ndarray], models: Sequence[DefectInferencer]
) -> Look:
    given = [*zip(models, pixels, strict=True)]
    found = tuple(_predicted(model, image, own) for model, own in given)
    pairs = zip(models, found, strict=True)
    seen = tuple(judge(one, image, model.spec) for model, one in pairs)
    return Look(image=image, pixels=pixels[-1], predictions=found, seen=seen)


def _decoded(
    exam: Exam, models: Sequence[DefectInferencer]
) -> Iterator[tuple[ExamImage, list[np.ndarray]]]:
    for image in exam.images:
        path = exam.path(image)
        data = content_of(path)
        if image.sha256 and not is_of(data, image.sha256):
            raise ValueError(
                f'{path} was changed while the exam {exam.name} was looked at: '
                'expected it as it was frozen; restore it'
            )
        # Once, unless they read the bits of a 16-bit image in different ways.
        every = {model.bits for model in models}
        read = {bits: image_of(data, path, bits=bits) for bits in every}
        yield image, [read[model.bits] for model in models]


def _predicted(
    model: DefectInferencer, image: ExamImage, pixels: np.ndarray
) -> Prediction:
    spec = model.spec
    told = image.product if image.product in spec.classes and not spec.routes else None
    try:
        (output,) = model.backend([pixels])
    except Exception as error:  # whatever an engine raises: it counts against the model
        why = f'{type(error).__name__}: {error}'
        return failed(why, spec, source=image.file)
    size = (pixels.shape[1], pixels.shape[0])
    return decide(output, spec, source=image.file, size=size, product=told)


def judge(found: Prediction, image: ExamImage, spec: ModelSpec) -> Seen:
    """Hold a prediction against what is on its image; see :func:`examine`."""
    truths = image.truths
    hits: list[float | None] = [found.score] * len(truths)
    false: list[str] = []
    foreign: list[tuple[str, float]] = []
    if spec.task == 'boxes':
        places, others = match(found, truths)
        defect, scores = found.is_defect, found.scores
        hits = [None if place is None else float(scores[place]) for place in places]
        right = [place is not None and bool(defect[place]) for place in places]
        false = [found.names[place] for place in others if defect[place]]
        foreign = [(found.names[place], float(scores[place])) for place in others]
    elif spec.task == 'maps':
        right = [found.decision == 'defective'] * len(truths)
        if not truths and found.decision in ('defective', 'unknown product'):
            false = ['']
    else:
        right = [found.name == truth.kind for truth in truths]
        if found.name is not None and not any(right):
            false = [found.name]
    return Seen(
        file=image.file,
        decision=found.decision,
        score=found.score,
        threshold=found.threshold,
        found=tuple(right),
        hits=tuple(hits),
        false=tuple(false),
        foreign=tuple(foreign),
        error=found.error,
    )


def match(
    found: Prediction, truths: Sequence[Truth]
) -> tuple[list[int | None], list[int]]:
    """Match boxes to the annotated ones, as COCO's evaluators do.

    Thresholds have no part in it: what they leave out never changes what others hit.

    Returns:
        Of each truth the index of the box that hits it, None if none does; and the
        indices of boxes that hit nothing and do not lie in an ignored region.
    """
    hits: list[int | None] = [None] * len(truths)
    foreign: list[int] = []
    theirs = np.array([one.box for one in truths], np.float64).reshape(-1, 4)
    for place in np.argsort(-found.scores, kind='stable').tolist():
        iou, inside = _overlaps(found.boxes[place].astype(np.float64), theirs)
        own = [k for k, one in enumerate(truths) if one.kind == found.names[place]]
        free = [k for k in own if hits[k] is None and not truths[k].ignored]
        best = max(free, key=lambda k: iou[k], default=None)
        if best is not None and iou[best] >= IOU:
            hits[best] = place
        elif not any(truths[k].ignored and inside[k] >= IOU for k in own):
            foreign.append(place)
    return hits, foreign


def _overlaps(box: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection over union with each, and the share of the box in each, ``(N,)``."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    area = (box[2:] - box[:2]).prod()
    union = area + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    return shared / np.maximum(union, 1e-9), shared / max(area, 1e-9)


def result_of(exam: Exam, spec: ModelSpec, seen: Sequence[Seen]) -> ExamResult:
    """Count what a version has made of all images of an exam, in its order."""
    given = spec.thresholds
    counts = Counts(
        exam=exam.name,
        kinds=tuple(_kinds(exam, spec, seen)),
        products=tuple(_products(exam, spec, seen)),
        calibrated=spec.calibrated,
        bare=tuple(one for one in spec.classes if given and one not in given),
        failed=sum(one.error is not None for one in seen),
    )
    return ExamResult(counts=counts, seen=tuple(seen))


def _kinds(exam: Exam, spec: ModelSpec, seen: Sequence[Seen]) -> Iterator[KindCount]:
    maps = exam.task == 'maps'
    number: Counter[tuple[str, str]] = Counter()
    images: Counter[tuple[str, str]] = Counter()
    found: Counter[tuple[str, str]] = Counter()
    false: Counter[str] = Counter()
    for image, one in zip(exam.images, seen, strict=True):
        for truth, hit in zip(image.truths, one.found, strict=True):
            if not truth.ignored:
                number[image.product, truth.kind] += 1
                found[image.product, truth.kind] += hit
        shown = {truth.kind for truth in image.truths if not truth.ignored}
        images.update((image.product, kind) for kind in shown)
        false.update(one.false)
    keys = dict.fromkeys(number)
    if not maps:  # those without an instance, too, and what is found in their place
        keys = dict.fromkeys(('', name) for name in (*exam.classes, *sorted(false)))
    for product, kind in keys:
        known = (product if maps else kind) in spec.classes
        yield KindCount(
            product=product,
            kind=kind,
            number=number[product, kind],
            images=images[product, kind],
            found=found[product, kind] if known else None,
            false=false[kind] if known and not maps else None,
        )


def _products(
    exam: Exam, spec: ModelSpec, seen: Sequence[Seen]
) -> Iterator[ProductCount]:
    """See :class:`ProductCount` for what counts in which task."""
    chances: dict[str, list[bool]] = {image.product: [] for image in exam.images}
    for image, one in zip(exam.images, seen, strict=True):
        alarm = one.alarm
        if spec.task == 'labels' and spec.defective is not None:
            if any(truth.kind == spec.defective for truth in image.truths):
                continue
            alarm = spec.defective in one.false or one.error is not None
        elif spec.task == 'maps' and image.truths:
            continue
        chances[image.product].append(alarm)
    for product, alarms in chances.items():
        known = spec.task != 'maps' or product in spec.classes
        yield ProductCount(
            product=product,
            number=len(alarms),
            false=sum(alarms) if known else None,
        )
