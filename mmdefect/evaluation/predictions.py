"""Predictions of a classifier, one a test image, and measures of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from mmdefect.functional.calibration import negative_log_likelihood
from mmdefect.functional.classification import (
    DefectErrors,
    confusion_counts,
    defect_errors,
    mcnemar_exact,
    wilson_interval,
)
from mmdefect.functional.ranking import auroc


class Prediction(NamedTuple):
    """True and predicted class of an image, and its probability of being defective."""

    label: int
    pred: int
    score: float

    @property
    def wrong(self) -> bool:
        """Whether it is an error of either kind."""
        return self.label != self.pred


Predictions = Mapping[str, Prediction]


@dataclass(frozen=True, kw_only=True)
class Measures:
    """A row of the comparison.

    Attributes:
        errors: Misses and false alarms in numbers.
        images: Number of test images.
        accuracy_range: Wilson's 95 % interval of the accuracy.
        auroc: Of the scores; NaN where the images are all of one class.
        nll: Mean negative log-likelihood of the true classes.
    """

    errors: DefectErrors
    images: int
    accuracy_range: tuple[float, float]
    auroc: float
    nll: float

    @property
    def wrong(self) -> int:
        """Errors of both kinds."""
        return self.errors.misses + self.errors.false_alarms


def read_predictions(path: str | Path) -> dict[str, Prediction]:
    """Read what ``DefectClassMetric(out_file=...)`` wrote, by path of the image.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is no prediction, or an image occurs twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist: expected the predictions of a classifier; test it '
            'with test_evaluator.out_file set to this file'
        )
    found: dict[str, Prediction] = {}
    for number, line in enumerate(
        path.read_text(encoding='utf-8').splitlines(), start=1
    ):
        try:
            row = json.loads(line)
            image = row['path']
            made = Prediction(int(row['label']), int(row['pred']), float(row['score']))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{path}, line {number} ({error!r}): expected an object with path, '
                'label, pred and score; test again'
            ) from error
        if image in found:
            raise ValueError(
                f'{path} has {image!r} twice: expected every image once; test again'
            )
        found[image] = made
    return found


def measure(predictions: Predictions, *, defective: int = 0) -> Measures:
    """Sum up the predictions of one classifier, class ``defective`` of two.

    Raises:
        ValueError: There is none.
    """
    if not predictions:
        raise ValueError('predictions={}: expected at least one')
    rows = list(predictions.values())
    labels = torch.tensor([row.label for row in rows])
    said = torch.tensor([row.pred for row in rows])
    scores = torch.tensor([row.score for row in rows], dtype=torch.float64)
    confusion = confusion_counts(labels, said, num_classes=2)
    errors = defect_errors(confusion, defective)
    low, high = wilson_interval(errors.misses + errors.false_alarms, len(rows))
    both = 0 < errors.defects < len(rows)
    area = float(auroc(scores, labels == defective)) if both else float('nan')
    both_classes = torch.stack([scores, 1 - scores], dim=1)
    return Measures(
        errors=errors,
        images=len(rows),
        accuracy_range=(1 - high, 1 - low),
        auroc=area,
        nll=float(negative_log_likelihood(both_classes, (labels != defective).int())),
    )


def mcnemar(a: Predictions, b: Predictions) -> float:
    """Exact McNemar test of two classifiers on the same images.

    Raises:
        ValueError: They were tested on different images.
    """
    if different := sorted(set(a) ^ set(b)):
        raise ValueError(
            f'{len(different)} images are in one of the two test sets only, such as '
            f'{different[0]!r}: expected the same images; test both on one protocol'
        )
    only_a = sum(a[name].wrong and not b[name].wrong for name in a)
    only_b = sum(b[name].wrong and not a[name].wrong for name in a)
    return mcnemar_exact(only_a, only_b)


def best_of(measures: Sequence[Measures]) -> int:
    """Index of the one with the fewest errors, then the lower log-likelihood loss."""
    return min(
        range(len(measures)),
        key=lambda index: (measures[index].wrong, measures[index].nll),
    )
