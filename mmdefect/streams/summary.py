"""The scores of a stream as a table for the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from terminaltables import AsciiTable

from mmdefect.streams.good_scores import HEADER, good_rows, why_undefined
from mmdefect.streams.matrix import StreamMatrix

# One screen: more classes or steps are in matrix.json and in the report.
MAX_CLASSES, MAX_STEPS = 20, 10


def summary_text(matrix: StreamMatrix) -> str:
    """Return all that a log should show of the scores.

    Metrics without any value are named and left out. Products that were tested with
    good images only are listed with what these score after the last step.

    Args:
        matrix: Scores of at least one step.
    """
    lines = _scores(matrix) if matrix.valued else []
    if empty := [metric for metric in matrix.metrics if metric not in matrix.valued]:
        why = why_undefined(matrix.steps[-1])
        lines.append(f'undefined, since {why}: {", ".join(empty)}')
    if rows := good_rows(matrix):
        header = [HEADER[0], *(name.lower() for name in HEADER[1:])]
        lines.append('scores of the good images of products without defective ones:')
        lines.append(_table([header, *rows[:MAX_CLASSES]]))
        lines += _left_out(rows, [])
    return '\n'.join(lines)


def _scores(matrix: StreamMatrix) -> list[str]:
    """Return the leading metric of every class after every step, in percent.

    Below the classes are the means of old, new and all, what the old classes lost since
    the step before, and the means of the other metrics. A dash is a class that had not
    arrived, or an undefined score.
    """
    metric, *others = matrix.valued
    every = [entry.step for entry in matrix.steps]
    steps = [every[0], *every[1:][-(MAX_STEPS - 1) :]]
    scores = {step: matrix.scores(step, metric) for step in steps}
    rows = [
        [name, *_percent(scores[step].get(name) for step in steps)]
        for name in matrix.classes[:MAX_CLASSES]
    ]
    for group in ('old', 'new', 'all'):
        values = (matrix.group(metric=metric, step=k, name=group) for k in steps)
        rows.append([f'mean of {group}', *_percent(values)])
    rows.append(['lost by old', *_percent(_lost(matrix, metric, k) for k in steps)])
    for other in others:
        values = (matrix.group(metric=other, step=k, name='all') for k in steps)
        rows.append([f'{other} of all', *_percent(values)])
    header = [f'{metric} in %', *(f'step {step}' for step in steps)]
    return [_table([header, *rows]), *_left_out(matrix.classes, every)]


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Draw a table, numbers to the right."""
    table = AsciiTable(rows)
    for column in range(1, len(rows[0])):
        table.justify_columns[column] = 'right'
    return str(table.table)


def _lost(matrix: StreamMatrix, metric: str, step: int) -> float | None:
    """Mean over the old classes of what each lost since the step before."""
    lost = matrix.forgetting(metric=metric, step=step).values()
    defined = [value for value in lost if value == value]
    return sum(defined) / len(defined) if defined else None


def _percent(values: Iterable[float | None]) -> list[str]:
    return ['-' if v is None or v != v else f'{100 * v:.1f}' for v in values]


def _left_out(classes: Sequence[object], steps: Sequence[int]) -> list[str]:
    found = []
    if len(classes) > MAX_CLASSES:
        found.append(f'{len(classes) - MAX_CLASSES} more classes are in matrix.json')
    if len(steps) > MAX_STEPS:
        found.append(f'{len(steps) - MAX_STEPS} more steps are in matrix.json')
    return found
