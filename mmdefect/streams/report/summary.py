"""A stream in a handful of numbers, each with its definition.

Products without a defective test image have no such numbers: of them all there is to
tell is what their good images score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from mmdefect.evaluation.anomaly_alarms import ALARM_METRICS
from mmdefect.functional.forgetting import (
    average_stage,
    backward_transfer,
    forgetting_measure,
    last_mean,
    stage_drop,
)
from mmdefect.streams.matrix import StepScores, StreamMatrix
from mmdefect.visualization.page import Section, Table, in_words, percent

# Of good images; all but the first are numbers.
HEADER = (
    'Product',
    'Good images tested',
    'Half score below',
    '95 % below',
    '99 % below',
    'Highest',
)
_GOOD = ('good_images', 'score_q50', 'score_q95', 'score_q99', 'score_max')

# Name, function of the matrix, definition, whether it is a difference.
MEASURES: tuple[tuple[str, Callable[[Tensor], Tensor], str, bool], ...] = (
    (
        'ACC, mean over steps (IUF)',
        average_stage,
        'After each step the mean over all classes seen so far; then the mean over the '
        'steps. Not the score at the end.',
        False,
    ),
    (
        'Mean after the last step',
        last_mean,
        'Mean over all classes after the last step: what the final model can do.',
        False,
    ),
    (
        "Stage drop (IUF's FM)",
        stage_drop,
        'Mean after the first step minus the mean of the means after the later steps. '
        'Contains the difficulty of the new classes, so it is not forgetting alone.',
        True,
    ),
    (
        'Forgetting measure (Chaudhry 2018)',
        forgetting_measure,
        'Best earlier score of a class minus its last one, mean over the classes seen '
        'before the last step. Large is bad.',
        True,
    ),
    (
        'Backward transfer (Lopez-Paz 2017)',
        backward_transfer,
        'Last score of a class minus its score right after it was learned, mean over '
        'the same classes. Negative is forgetting.',
        True,
    ),
)


def summary_sections(
    matrix: StreamMatrix, say: Callable[[str], str] = str
) -> list[Section]:
    """Return the numbers of every metric and, below, what each number means.

    Args:
        matrix: Scores of at least one step.
        say: Words the definitions for a task.
    """
    return [
        Section(
            title='The stream in numbers',
            text=(
                'One column per metric. Papers call different things forgetting; names '
                'and definitions here are below the table. Points are percentage '
                'points.'
            ),
            table=summary_table(matrix),
        ),
        Section(
            title='What these numbers mean',
            table=Table(
                ['Number', 'Definition'],
                [[name, say(text)] for name, _, text, _ in MEASURES],
            ),
            folded=True,
        ),
    ]


def good_section(matrices: Mapping[str, StreamMatrix]) -> Section | None:
    """Return the scores of products that were tested with good images only.

    Args:
        matrices: Name of each model -> its scores; a single one goes unnamed.

    Returns:
        ``None`` where every product has defective images, or none has an image.
    """
    table = joined({name: good_table(matrix) for name, matrix in matrices.items()})
    if table is None:
        return None
    return Section(
        title='What good images score',
        text=(
            'After the last step, of products without defective test images. A '
            'threshold at one of these scores lets that share of the good images pass; '
            'how many defects it finds is not known.'
        ),
        table=table,
    )


def joined(tables: Mapping[str, Table]) -> Table | None:
    """Put tables of several models into one that names them.

    Args:
        tables: Name of each model -> its rows; a single one goes unnamed.

    Returns:
        ``None`` without a row.
    """
    rows = [[name, *row] for name, table in tables.items() for row in table.rows]
    if not rows:
        return None
    first = next(iter(tables.values()))
    if len(tables) == 1:
        return first
    return Table(['Model', *first.header], rows, first.numbers)


def good_table(matrix: StreamMatrix) -> Table:
    """One row a product of which the last step was tested with good images only."""
    rows = []
    for last in matrix.steps[-1:]:
        for name in last.old + last.new:
            count, *scores = (scalar(last, key, name) for key in _GOOD)
            if count > 0 and without_defects(last, [name]):
                rows.append([name, f'{count:.0f}', *(f'{v:.4g}' for v in scores)])
    return Table(HEADER, rows, HEADER[1:])


def why_undefined(last: StepScores) -> str:
    """Return in words why no class has a value after a step."""
    if without_defects(last, last.old + last.new):
        return 'no product has defective test images'
    return 'the test set has not what it takes'


def without_defects(scores: StepScores, names: Sequence[str]) -> bool:
    """Whether a test found no defective image of any of the products."""
    return all(scalar(scores, 'defective_images', name) == 0 for name in names)


def scalar(scores: StepScores, key: str, name: str) -> float:
    """Value of ``<prefix>/<key>/<name>``; NaN if the metric does not report it."""
    for found, value in scores.scalars.items():
        if f'/{found}'.endswith(f'/{key}/{name}'):
            return value
    return math.nan


def summary_table(matrix: StreamMatrix) -> Table:
    """One row per measure, one column per metric that has a value.

    A measure that the stream cannot have yet is an en dash: forgetting after a single
    step, and everything while an earlier step has no scores.

    Args:
        matrix: Scores of at least one step.
    """
    # Of false alarms and misses less is better, and nothing is learned or forgotten.
    metrics = [name for name in matrix.valued if name not in ALARM_METRICS]
    columns = [matrix.tensor(metric) for metric in metrics]
    rows = []
    for name, measure, _, difference in MEASURES:
        values = [
            # A step without scores leaves no number.
            math.nan if column.isnan().all(dim=1).any() else float(measure(column))
            for column in columns
        ]
        rows.append([name, *(_text(value, difference) for value in values)])
    words = [in_words(metric) for metric in metrics]
    return Table(['Number', *words], rows, words)


def _text(value: float, difference: bool) -> str:
    if difference and not math.isnan(value):
        return f'{100 * value:+.1f} points'
    return percent(value)
