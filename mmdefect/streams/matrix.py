"""The metric of every class after every step, as ``matrix.json`` keeps it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmdefect.functional.forgetting import group_mean, step_forgetting
from mmdefect.utils.checks import check_choice
from mmdefect.utils.files import write_json
from mmdefect.utils.text_files import read_json

MATRIX_FILE = 'matrix.json'
GROUPS = ('old', 'new', 'all')


@dataclass(frozen=True)
class StepScores:
    """What one step was judged with.

    Attributes:
        step: Number of the step, from 0.
        old: Classes of earlier steps.
        new: Classes this step brought.
        per_class: Metric name -> class -> value (NaN: no ground truth).
        scalars: Every scalar of the test.
        diagnosis: What is wrong with a detector's boxes, where its metric says it; see
            :meth:`mmdefect.evaluation.box_diagnosis.Diagnosis.to_dict`.
    """

    step: int
    old: tuple[str, ...]
    new: tuple[str, ...]
    per_class: Mapping[str, Mapping[str, float]]
    scalars: Mapping[str, float]
    diagnosis: Mapping[str, Any] = field(default_factory=dict)


def _find_scalar(scalars: Mapping[str, float], metric: str, name: str) -> float:
    """Value of ``<prefix>/<metric>/<class>``, with any prefix or none."""
    tail = f'/{metric}/{name}'
    keys = [key for key in scalars if f'/{key}'.endswith(tail)]
    if len(keys) != 1:
        raise ValueError(
            f'scalars={sorted(scalars)}: expected one <prefix>{tail}, found '
            f'{", ".join(keys) or "none"}; use a metric that reports every seen class'
        )
    return float(scalars[keys[0]])


def _reports(scalars: Mapping[str, float], metric: str) -> bool:
    """Whether a test has told a metric of any class; a user's own need not have all."""
    return any(f'/{metric}/' in f'/{key}' for key in scalars)


def _null_nan(value: Any) -> Any:
    """JSON has no NaN: write null, read it back as NaN."""
    if isinstance(value, Mapping):
        return {key: _null_nan(entry) for key, entry in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _nan_null(values: Mapping[str, float | None]) -> dict[str, float]:
    return {k: math.nan if v is None else float(v) for k, v in values.items()}


class StreamMatrix:
    """Metric of every class after every step.

    Task-agnostic: a detector reports ``AP50/<class>``, an anomaly model
    ``pixel_auroc/<product>``; the names come from ``metrics``.

    Args:
        classes: All classes of the stream, in its order.
        metrics: Metrics to keep, the main one first.

    Raises:
        ValueError: If either is empty or has duplicates.

    Example:
        >>> matrix = StreamMatrix(classes=['crazing', 'patches'], metrics=['AP50'])
        >>> matrix.add_step(
        ...     step=0, old=[], new=['crazing'], scalars={'coco/AP50/crazing': 0.7}
        ... )
        >>> matrix.group(metric='AP50', step=0, name='new')
        0.7
    """

    def __init__(self, *, classes: Sequence[str], metrics: Sequence[str]) -> None:
        for what, names in (('classes', classes), ('metrics', metrics)):
            if not names or len(set(names)) != len(names):
                raise ValueError(
                    f'{what}={list(names)}: expected at least one name, each once'
                )
        self.classes = list(classes)
        self.metrics = list(metrics)
        self._steps: dict[int, StepScores] = {}

    @property
    def steps(self) -> list[StepScores]:
        """The steps so far, in order."""
        return [self._steps[step] for step in sorted(self._steps)]

    @property
    def valued(self) -> list[str]:
        """Metrics that have a value, of any class after any step."""
        return [
            metric
            for metric in self.metrics
            if any(v == v for s in self.steps for v in s.per_class[metric].values())
        ]

    def add_step(
        self,
        *,
        step: int,
        old: Sequence[str],
        new: Sequence[str],
        scalars: Mapping[str, float],
        diagnosis: Mapping[str, Any] | None = None,
    ) -> None:
        """Add the test of one step, or replace it when it is there already.

        Args:
            step: Number of the step, from 0.
            old: Classes of earlier steps.
            new: Classes this step brought.
            scalars: Every scalar of the test; needs ``<prefix>/<metric>/<class>`` for
                each class of ``old`` and ``new``, of each metric that it has any of.
            diagnosis: As :class:`StepScores` holds it.

        Raises:
            ValueError: If the step is negative, a class is unknown or both old and
                new, or a scalar is missing.
        """
        seen = [*old, *new]
        unknown = [name for name in seen if name not in self.classes]
        if step < 0 or unknown or not seen or len(set(seen)) != len(seen):
            raise ValueError(
                f'step={step}, old={list(old)}, new={list(new)}: expected a step from '
                f'0 with each class once, of {", ".join(self.classes)}'
            )
        per_class = {
            metric: {name: _find_scalar(scalars, metric, name) for name in seen}
            if metric == self.metrics[0] or _reports(scalars, metric)
            else dict.fromkeys(seen, math.nan)
            for metric in self.metrics
        }
        numbers = {k: float(v) for k, v in scalars.items() if isinstance(v, Real)}
        self._steps[step] = StepScores(
            step, tuple(old), tuple(new), per_class, numbers, dict(diagnosis or {})
        )

    def require(self, metrics: Sequence[str]) -> None:
        """Add metrics that this matrix, of an older version, does not have.

        Their values after the steps so far are undefined.
        """
        added = [metric for metric in metrics if metric not in self.metrics]
        self.metrics += added
        for step, scores in self._steps.items():
            unknown = dict.fromkeys(scores.old + scores.new, math.nan)
            per_class = {**scores.per_class, **dict.fromkeys(added, unknown)}
            self._steps[step] = replace(scores, per_class=per_class)

    def scores(self, step: int, metric: str) -> dict[str, float]:
        """Class -> value after a step; empty when the step has not been tested.

        Raises:
            ValueError: If the metric is unknown.
        """
        check_choice('metric', metric, self.metrics)
        scores = self._steps.get(step)
        return {} if scores is None else dict(scores.per_class[metric])

    def undefined(self, *, metric: str, step: int) -> list[str]:
        """Classes that were tested after a step and have no value.

        They had no test image, or none with ground truth.
        """
        return [n for n, value in self.scores(step, metric).items() if value != value]

    def tensor(self, metric: str) -> Tensor:
        """The matrix of one metric, for :mod:`mmdefect.functional.forgetting`.

        Args:
            metric: One of ``metrics``.

        Returns:
            Steps x classes, float64; NaN where a class is not yet seen and in the row
            of a step that has not been tested.

        Raises:
            ValueError: If the metric is unknown or there is no step yet.
        """
        check_choice('metric', metric, self.metrics)
        if not self._steps:
            raise ValueError('matrix without a step: expected one; call add_step')
        size = (max(self._steps) + 1, len(self.classes))
        matrix = torch.full(size, math.nan, dtype=torch.float64)
        for step, scores in self._steps.items():
            for name, value in scores.per_class[metric].items():
                matrix[step, self.classes.index(name)] = value
        return matrix

    def group(self, *, metric: str, step: int, name: str) -> float | None:
        """Mean over the classes of a group after a step.

        Args:
            metric: One of ``metrics``.
            step: A step that was added.
            name: ``old``, ``new`` or ``all``.

        Returns:
            The mean; ``None`` when the group has no classes, NaN when none has a value.

        Raises:
            ValueError: If the metric, the step or the group is unknown.
        """
        check_choice('metric', metric, self.metrics)
        check_choice('step', step, self._steps)
        check_choice('name', name, GROUPS)
        scores = self._steps[step]
        members = {'old': scores.old, 'new': scores.new}.get(
            name, scores.old + scores.new
        )
        if not members:
            return None
        mask = torch.tensor([entry in members for entry in self.classes])
        return float(group_mean(self.tensor(metric)[step], mask))

    def forgetting(self, *, metric: str, step: int) -> dict[str, float]:
        """What each old class lost since the step before.

        Returns:
            Old class -> the step before minus this one; empty for step 0 and when the
            step before has not been tested.

        Raises:
            ValueError: If the metric or the step is unknown.
        """
        check_choice('metric', metric, self.metrics)
        check_choice('step', step, self._steps)
        before = self._steps.get(step - 1)
        if before is None:
            return {}
        lost = step_forgetting(self.tensor(metric), step)
        then = before.per_class[metric]
        return {
            name: float(lost[self.classes.index(name)])
            for name in self._steps[step].old
            if name in then
        }

    def to_dict(self) -> dict[str, Any]:
        """The content of ``matrix.json``: plain containers, null for NaN."""
        steps = []
        for scores in self.steps:
            step = scores.step
            by_metric = {
                'per_class': scores.per_class,
                'undefined': {
                    m: self.undefined(metric=m, step=step) for m in self.metrics
                },
                'groups': {
                    m: {g: self.group(metric=m, step=step, name=g) for g in GROUPS}
                    for m in self.metrics
                },
                'forgetting': {
                    m: self.forgetting(metric=m, step=step) for m in self.metrics
                },
                'scalars': scores.scalars,
                'diagnosis': scores.diagnosis,
            }
            classes = {'old': list(scores.old), 'new': list(scores.new)}
            steps.append({'step': step, **classes, **_null_nan(by_metric)})
        return {'metrics': self.metrics, 'classes': self.classes, 'steps': steps}

    def save(self, path: str | Path) -> None:
        """Write ``matrix.json``, whole or not at all."""
        write_json(Path(path), self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> StreamMatrix:
        """Read ``matrix.json``.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not a matrix, naming what is wrong.
        """
        content = read_json(Path(path), 'matrix of a stream')
        try:
            matrix = cls(classes=content['classes'], metrics=content['metrics'])
            for entry in content['steps']:
                matrix._steps[entry['step']] = StepScores(
                    entry['step'],
                    tuple(entry['old']),
                    tuple(entry['new']),
                    {m: _nan_null(entry['per_class'][m]) for m in matrix.metrics},
                    _nan_null(entry['scalars']),
                    dict(entry.get('diagnosis') or {}),  # older files have none
                )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path}: expected the matrix of a stream, found a wrong or missing '
                f'entry ({type(error).__name__}: {error}); remove the file and test '
                'the work dir to write it anew'
            ) from error
        return matrix
