"""What a stream tells when its steps are done: the report, and a table in the log."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from mmdefect.streams.distance import (
    class_distances,
    group_distances,
    joint_matrix,
)
from mmdefect.streams.matrix import GROUPS, MATRIX_FILE, StreamMatrix
from mmdefect.streams.report.stream import write_report
from mmdefect.streams.report.summary import good_table, why_undefined
from mmdefect.visualization.page import Table, percent, text_table

# Takes a sentence and the level of the log.
Say = Callable[[str, int], None]
# One screen: more classes or steps are in matrix.json and in the report.
MAX_CLASSES, MAX_STEPS = 20, 10
# What makes up the row below joint.
CAUSES = {
    'of it forgotten': 'forgotten',
    'of it never learnt': 'never_learnt',
    'of it false alarms elsewhere': 'foreign',
}


def draw_report(work_dir: Path, say: Say, joint: str | None = None) -> str | None:
    """Draw the report; an error in it does not end the stream, and is returned."""
    try:
        path = write_report(work_dir, joint)
    except Exception as error:  # whatever a plot stumbles over
        text = f'{type(error).__name__}: {error}'
        say(
            f'the report cannot be drawn ({text}); models and scores do not suffer',
            logging.ERROR,
        )
        return text
    say(f'report: {path}', logging.INFO)
    return None


def sum_up(work_dir: Path, say: Say, joint: str | None = None) -> None:
    """Draw the report, whatever an interrupted run left of it, and show the scores.

    Args:
        work_dir: Of the stream.
        say: Takes what is said.
        joint: Work dir of the upper bound that scores are compared with.

    Raises:
        RuntimeError: The report cannot be drawn.
    """
    error = draw_report(work_dir, say, joint)
    path = work_dir / MATRIX_FILE
    if path.is_file():
        table = summary_text(StreamMatrix.load(path), joint_matrix(joint))
        say(f'all scores, as in {path}:\n{table}', logging.INFO)
    if error:
        raise RuntimeError(
            f'the steps are done and their scores are in {path}, but the report of '
            f'{work_dir} cannot be drawn: {error}; when the cause is gone, draw it by '
            'the same command with --resume'
        )


def summary_text(matrix: StreamMatrix, joint: StreamMatrix | None = None) -> str:
    """Return all that a log should show of the scores.

    Metrics without any value are named and left out. Products that were tested with
    good images only are listed with what these score after the last step.

    Args:
        matrix: Scores of at least one step.
        joint: Scores of the upper bound.
    """
    lines = _scores(matrix, joint) if matrix.valued else []
    if empty := [metric for metric in matrix.metrics if metric not in matrix.valued]:
        why = why_undefined(matrix.steps[-1])
        lines.append(f'undefined, since {why}: {", ".join(empty)}')
    if (good := good_table(matrix)).rows:
        short = Table(good.header, good.rows[:MAX_CLASSES], good.numbers)
        lines.append('scores of the good images of products without defective ones:')
        lines += [text_table(short), *_left_out(good.rows, [])]
    return '\n'.join(lines)


def _scores(matrix: StreamMatrix, joint: StreamMatrix | None) -> list[str]:
    """Return the leading metric of every class after every step.

    Below the classes are the means of old, new and all, what the old classes lost since
    the step before, what is missing to joint training, and the means of the other
    metrics. A dash is a class that had not arrived, or an undefined score.
    """
    metric, *others = matrix.valued
    every = [entry.step for entry in matrix.steps]
    steps = [every[0], *every[1:][-(MAX_STEPS - 1) :]]
    scores = {step: matrix.scores(step, metric) for step in steps}
    rows: dict[str, Iterable[float | None]] = {
        name: [values.get(name) for values in scores.values()]
        for name in matrix.classes[:MAX_CLASSES]
    }
    groups = [(f'mean of {group}', metric, group) for group in GROUPS]
    for title, key, group in [*groups, *((f'{m} of all', m, 'all') for m in others)]:
        rows[title] = [matrix.group(metric=key, step=k, name=group) for k in steps]
    rows['lost by old'] = [
        _mean(matrix.forgetting(metric=metric, step=k).values()) for k in steps
    ]
    if joint is not None and metric in joint.metrics:
        bound = {step: joint.scores(step, metric) for step in steps}
        rows['below joint'] = [
            _mean(bound[k].get(name, math.nan) - v for name, v in scores[k].items())
            for k in steps
        ]
        parts = [_distance(matrix, joint, k) for k in steps]
        if any(parts):
            for title, key in CAUSES.items():
                rows[title] = [part.get(key) for part in parts]
    header = [metric, *(f'step {step}' for step in steps)]
    table = [[name, *map(percent, values)] for name, values in rows.items()]
    return [
        text_table(Table(header, table, header[1:])),
        *_left_out(matrix.classes, every),
    ]


def _distance(matrix: StreamMatrix, joint: StreamMatrix, step: int) -> dict[str, float]:
    """Return the parts of the mean distance to joint training; empty without them."""
    entry = next(scores for scores in matrix.steps if scores.step == step)
    distances = class_distances(matrix, joint, step)
    return group_distances(distances, old=entry.old, new=entry.new).get('all', {})


def _mean(values: Iterable[float]) -> float | None:
    """Mean of those that are defined."""
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else None


def _left_out(classes: Sequence[object], steps: Sequence[int]) -> list[str]:
    found = []
    if len(classes) > MAX_CLASSES:
        found.append(f'{len(classes) - MAX_CLASSES} more classes are in matrix.json')
    if len(steps) > MAX_STEPS:
        found.append(f'{len(steps) - MAX_STEPS} more steps are in matrix.json')
    return found
