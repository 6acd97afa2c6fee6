"""Where a detector's boxes go wrong, class by class and step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mmdefect.evaluation.box_rows import Rows
from mmdefect.functional.box_diagnosis import (
    coco_average_precision,
    mistaken_for,
    own_images,
    recall_threshold,
)
from mmdefect.functional.box_matching import HIT, IGNORED, match_boxes

RECALL = 0.5


@dataclass(frozen=True, kw_only=True)
class ClassDiagnosis:
    """What is wrong with the boxes of one class.

    Its own images show a class of the same step; the others are foreign, and every box
    of the class on them is a false alarm.

    Attributes:
        own_ap50: AP at IoU 0.5 on own images alone; NaN without ground truth.
        threshold: Score from which on a box is called; NaN where nothing is hit.
        calibrated: Whether it was chosen on validation images. If not, it is the score
            at which half of the objects of these test images are found, or as many as
            ever are: good for comparing, not for deciding.
        own_alarms: Called boxes that hit nothing, on own images.
        foreign_alarms: Called boxes on foreign images.
        foreign_images: Number of foreign images.
    """

    own_ap50: float
    threshold: float
    calibrated: bool
    own_alarms: int
    foreign_alarms: int
    foreign_images: int


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Called boxes of one class that lie on objects of another (IoU from 0.5).

    Attributes:
        predicted: What the boxes say.
        shown: What the objects are.
        count: Number of boxes.
        image: Number of the image of the best scored one.
        box: That box, x1, y1, x2, y2.
        score: Its score.
        truth: The object, x1, y1, x2, y2.
    """

    predicted: str
    shown: str
    count: int
    image: int
    box: list[float]
    score: float
    truth: list[float]


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Of a detector on a test set.

    Attributes:
        classes: Class -> what is wrong with its boxes.
        steps: Step of each class, in the same order.
        confusions: The most frequent pair first.
    """

    classes: Mapping[str, ClassDiagnosis]
    steps: Sequence[int]
    confusions: Sequence[Confusion] = field(default_factory=list)

    def scalars(self) -> dict[str, float]:
        """Name -> number, as a metric reports them.

        ``own_AP50/<class>``; ``foreign_false_alarms``, of the classes of the last step,
        and ``foreign_false_alarms_old``, of the others if there are any.
        """
        last = max(self.steps)
        alarms = {False: 0.0, True: 0.0}
        for step, row in zip(self.steps, self.classes.values(), strict=True):
            alarms[step == last] += row.foreign_alarms
        found = {f'own_AP50/{name}': row.own_ap50 for name, row in self.classes.items()}
        found['foreign_false_alarms'] = alarms[True]
        if last:
            found['foreign_false_alarms_old'] = alarms[False]
        return found

    def to_dict(self, files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Plain containers for ``matrix.json``.

        Args:
            files: Of each image its ``img_path`` and how to ``read`` it.
        """
        return {
            'classes': {name: vars(row) for name, row in self.classes.items()},
            'confusions': [
                {
                    'predicted': pair.predicted,
                    'shown': pair.shown,
                    'count': pair.count,
                    'example': {
                        **files[pair.image],
                        'gt': [{'bbox': pair.truth, 'label': pair.shown}],
                        'pred': [
                            {
                                'bbox': pair.box,
                                'label': pair.predicted,
                                'score': pair.score,
                            }
                        ],
                    },
                }
                for pair in self.confusions
            ],
        }


def diagnose(
    found: Rows,
    truths: Rows,
    *,
    classes: Sequence[str],
    steps: Sequence[int],
    images: int,
    thresholds: Mapping[str, float] | None = None,
) -> Diagnosis:
    """Find out what is wrong with the boxes of a detector.

    Args:
        found: Boxes of the detector; equal scores keep their order.
        truths: Annotated boxes.
        classes: Names in label order.
        steps: Step that brought each class, from 0.
        images: Number of images.
        thresholds: Class -> score from which on it is called, chosen on validation
            images; other classes get that of half their objects found.
    """
    of_class = torch.tensor(list(steps))
    kinds = match_boxes(
        found.boxes,
        found.values,
        truths.boxes,
        groups=found.images * len(classes) + found.labels,
        truth_groups=truths.images * len(classes) + truths.labels,
        ignored=truths.values,
    )
    own = own_images(truths.labels, truths.images, of_class, count=images)
    objects = truths.of(~truths.values)
    counts = objects.labels.bincount(minlength=len(classes)).tolist()
    wrong = torch.zeros(len(kinds), dtype=torch.bool)
    rows = {}
    for label, name in enumerate(classes):
        mine = ((found.labels == label) & (kinds != IGNORED)).nonzero().flatten()
        shown = own[of_class[label]]
        row, false = _diagnose_class(
            found.values[mine],
            kinds[mine] == HIT,
            shown[found.images[mine]],
            truths=counts[label],
            threshold=(thresholds or {}).get(name),
            foreign_images=int((~shown).sum()),
        )
        rows[name] = row
        wrong[mine[false]] = True
    pairs = _confusions(found.of(wrong), objects, classes)
    return Diagnosis(classes=rows, steps=list(steps), confusions=pairs)


def _diagnose_class(
    scores: Tensor,
    hits: Tensor,
    own: Tensor,
    *,
    truths: int,
    threshold: float | None,
    foreign_images: int,
) -> tuple[ClassDiagnosis, Tensor]:
    """Diagnose one class; ``own`` says which of its boxes lie on own images.

    Returns:
        The diagnosis, and which boxes are called and hit nothing.
    """
    calibrated = threshold is not None
    if threshold is None:
        threshold = recall_threshold(scores, hits, truths, RECALL)
    false = (scores.double() >= threshold) & ~hits
    row = ClassDiagnosis(
        own_ap50=coco_average_precision(scores[own], hits[own], truths),
        threshold=threshold,
        calibrated=calibrated,
        own_alarms=int((false & own).sum()),
        foreign_alarms=int((false & ~own).sum()),
        foreign_images=foreign_images,
    )
    return row, false


def _confusions(wrong: Rows, truths: Rows, classes: Sequence[str]) -> list[Confusion]:
    """Count the pairs of classes that are mixed up."""
    lies_on = mistaken_for(*wrong[:3], *truths[:3])
    mixed = lies_on >= 0
    wrong, truths = wrong.of(mixed), truths.of(lies_on[mixed])
    pairs = wrong.labels * len(classes) + truths.labels
    found = []
    for pair in pairs.unique().tolist():
        rows = (pairs == pair).nonzero().flatten()
        best = int(rows[wrong.values[rows].argmax()])
        found.append(
            Confusion(
                predicted=classes[pair // len(classes)],
                shown=classes[pair % len(classes)],
                count=len(rows),
                image=int(wrong.images[best]),
                box=_corners(wrong.boxes[best]),
                score=round(float(wrong.values[best]), 4),
                truth=_corners(truths.boxes[best]),
            )
        )
    return sorted(found, key=lambda one: -one.count)


def _corners(box: Tensor) -> list[float]:
    """Box as plain numbers; a hundredth of a pixel is enough to draw it."""
    return [round(value, 2) for value in box.tolist()]
