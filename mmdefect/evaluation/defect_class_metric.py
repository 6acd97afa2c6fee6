"""Errors of a classifier of defective and ok images, and how sure they are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from torch import Tensor

from mmdefect.functional.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
)
from mmdefect.functional.classification import (
    bootstrap_interval,
    confusion_counts,
    defect_errors,
    precision_recall_f1,
    wilson_interval,
)
from mmdefect.functional.ranking import auroc
from mmdefect.registry import METRICS
from mmdefect.utils.checks import check_choice
from mmdefect.utils.files import write_text

INTERVALS = ('wilson', 'bootstrap')
PER_CLASS = ('precision', 'recall', 'f1')


@dataclass(frozen=True)  # MMEngine would make a named tuple a plain one
class ImageResult:
    """File of an image, its true and its predicted class, and probabilities."""

    path: str
    label: int
    pred: int
    scores: tuple[float, ...]


@METRICS.register_module()
class DefectClassMetric(BaseMetric):
    """Accuracy, misses, false alarms and how far probabilities can be trusted.

    All over the whole set at once, as fractions:

    - ``images``, ``errors`` and their two kinds ``miss`` (a defective image called
      something else) and ``false_alarm`` (another image called defective), as counts;
      ``miss_rate`` and ``false_alarm_rate``.
    - ``accuracy`` with the ends ``accuracy_low`` and ``accuracy_high`` of its 95 %
      interval; ``balanced_accuracy``, the mean of the recalls.
    - ``precision/<class>``, ``recall/<class>``, ``f1/<class>`` and their plain means
      ``precision_macro``, ``recall_macro``, ``f1_macro``; ``f1_defective``, which
      is ``f1/<class>`` of the defective class, to choose a checkpoint by.
    - ``auroc`` of the probability of a defect.
    - ``nll`` and ``ece``, the negative log-likelihood and the calibration error of the
      probabilities.

    Predictions are the model's, so a head's threshold counts in all but the last three.
    What is undefined (the recall of a class without images, the precision of one that
    was never predicted, and the means over them) is NaN and said once in the log, where
    the confusion matrix stands, too.

    Args:
        defective: Index of the defective class.
        interval: Of the accuracy: ``wilson``, or ``bootstrap`` with a fixed seed.
        out_file: JSON lines to write, one an image: ``path``, ``label``, ``pred`` and
            ``score``, the probability of a defect; what a test between two models
            needs. A relative path starts where the process does.
        kwargs: Passed to MMEngine's ``BaseMetric``.

    Raises:
        ValueError: If the interval is unknown.

    Example:
        >>> DefectClassMetric(interval='bootstrap').prefix
        'defect'
    """

    default_prefix = 'defect'

    def __init__(
        self,
        *,
        defective: int = 0,
        interval: str = 'wilson',
        out_file: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice('interval', interval, INTERVALS)
        self.defective = defective
        self.interval = interval
        self.out_file = None if out_file is None else Path(out_file)

    @property
    def dataset_meta(self) -> Any:
        """Meta of the dataset; a loop sets it first, and the log says what a defect is.

        That is before the first image.
        """
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        classes = list(dataset_meta.get('classes') or ())
        if 0 <= self.defective < len(classes):
            bad = classes.pop(self.defective)
            cure = (
                '; if that is wrong, rename the folders: the first in the alphabet is '
                'the defective one, as 0_scrap before 1_good'
            )
            logger: MMLogger = MMLogger.get_current_instance()
            logger.info(
                f'defective class: {bad}, not defective: {", ".join(classes)}'
                f'{"" if self.defective else cure}'
            )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep ``img_path``, ``gt_label``, ``pred_label`` and ``pred_score``.

        Raises:
            ValueError: If something is missing, there is not one probability a class,
                or one of them is NaN.
        """
        self.results.extend(self._result(sample) for sample in data_samples)

    def compute_metrics(self, results: list[ImageResult]) -> dict[str, float]:
        """Score all images, in order and from all ranks; without the prefix.

        Raises:
            ValueError: If no image was evaluated, a label is none of the classes, or
                ``defective`` is none of them.
        """
        if not results:
            raise ValueError(
                'no image was evaluated: expected at least one; check the test dataset'
            )
        labels = torch.tensor([result.label for result in results])
        predictions = torch.tensor([result.pred for result in results])
        # float64 holds every float32 as it is.
        scores = torch.tensor([r.scores for r in results], dtype=torch.float64)
        confusion = confusion_counts(labels, predictions, len(self._classes))
        found = self._counts(confusion)
        found |= self._accuracies(labels == predictions)
        found |= self._class_metrics(confusion)
        found['auroc'] = float(
            auroc(scores[:, self.defective], labels == self.defective)
        )
        found['nll'] = float(negative_log_likelihood(scores, labels))
        found['ece'] = float(expected_calibration_error(scores, labels))
        self._log(confusion, found)
        if self.out_file is not None:
            self._write(results, self.out_file)
        return found

    @property
    def _classes(self) -> list[str]:
        return list(self.dataset_meta['classes'])

    def _result(self, sample: Mapping[str, Any]) -> ImageResult:
        needed = ('img_path', 'gt_label', 'pred_label', 'pred_score')
        if missing := [name for name in needed if name not in sample]:
            raise ValueError(
                f'a sample lacks {", ".join(missing)}: expected one of a classifier; '
                'let the pipeline end in PackInputs'
            )
        scores = sample['pred_score'].detach().double().cpu().flatten()
        classes = self._classes
        if len(scores) != len(classes) or bool(scores.isnan().any()):
            raise ValueError(
                f'pred_score={scores.tolist()} of {sample["img_path"]}: expected a '
                f'probability of each of {", ".join(classes)}; check num_classes of '
                'the head and whether the training diverged'
            )
        return ImageResult(
            path=str(sample['img_path']),
            label=int(sample['gt_label']),
            pred=int(sample['pred_label']),
            scores=tuple(scores.tolist()),
        )

    def _counts(self, confusion: Tensor) -> dict[str, float]:
        """Numbers of images and errors, and the rates of the two kinds."""
        kinds = defect_errors(confusion, self.defective)
        images = int(confusion.sum())
        return {
            'images': images,
            'errors': images - int(confusion.trace()),
            'miss': kinds.misses,
            'false_alarm': kinds.false_alarms,
            'miss_rate': kinds.miss_rate,
            'false_alarm_rate': kinds.false_alarm_rate,
        }

    def _accuracies(self, right: Tensor) -> dict[str, float]:
        """Accuracy and its interval."""
        if self.interval == 'wilson':
            low, high = wilson_interval(int((~right).sum()), len(right))
            low, high = 1 - high, 1 - low
        else:
            low, high = bootstrap_interval(right.double())
        accuracy = float(right.double().mean())
        return {'accuracy': accuracy, 'accuracy_low': low, 'accuracy_high': high}

    def _class_metrics(self, confusion: Tensor) -> dict[str, float]:
        """Precision, recall and F1 of each class, and their means."""
        found: dict[str, float] = {}
        measures = dict(zip(PER_CLASS, precision_recall_f1(confusion), strict=True))
        for name, values in measures.items():
            for label, value in zip(self._classes, values.tolist(), strict=True):
                found[f'{name}/{label}'] = value
            # A mean without the class that was never predicted would flatter.
            found[f'{name}_macro'] = float(values.mean())
        found['balanced_accuracy'] = found['recall_macro']
        found['f1_defective'] = found[f'f1/{self._classes[self.defective]}']
        return found

    def _log(self, confusion: Tensor, found: Mapping[str, float]) -> None:
        logger: MMLogger = MMLogger.get_current_instance()
        logger.info('\n' + confusion_table(confusion, self._classes))
        if undefined := [name for name, value in found.items() if math.isnan(value)]:
            logger.warning(
                f'{", ".join(undefined)} are NaN: a class has no image or was never '
                'predicted'
            )

    def _write(self, results: Sequence[ImageResult], path: Path) -> None:
        lines = [
            {'path': r.path, 'label': r.label, 'pred': r.pred}
            | {'score': r.scores[self.defective]}
            for r in results
        ]
        write_text(path, '\n'.join(map(json.dumps, lines)) + '\n')


def confusion_table(confusion: Tensor, classes: Sequence[str]) -> str:
    """Lay a confusion matrix out as text, a row a true class."""
    rows = [['', *(f'called {name}' for name in classes)]]
    for name, counts in zip(classes, confusion.tolist(), strict=True):
        rows.append([name, *map(str, counts)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join('  '.join(map(str.rjust, row, widths)) for row in rows)
