"""A stream in a handful of numbers, each with its definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from mmdefect.functional.forgetting import (
    average_stage,
    backward_transfer,
    forgetting_measure,
    last_mean,
    stage_drop,
)
from mmdefect.streams.good_scores import HEADER
from mmdefect.streams.matrix import StreamMatrix
from mmdefect.visualization.page import Section, Table, in_words

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


def good_section(rows: Sequence[Sequence[str]], first: Sequence[str] = ()) -> Section:
    """Return the scores of products that were tested with good images only.

    Args:
        rows: As of :func:`mmdefect.streams.good_scores.good_rows`.
        first: Columns that come before.
    """
    return Section(
        title='What good images score',
        text=(
            'After the last step, of products without defective test images. A '
            'threshold at one of these scores lets that share of the good images pass; '
            'how many defects it finds is not known.'
        ),
        table=Table([*first, *HEADER], rows, HEADER[1:]),
    )


def summary_table(matrix: StreamMatrix) -> Table:
    """One row per measure, one column per metric that has a value.

    A measure that the stream cannot have yet is an en dash: forgetting after a single
    step, and everything while an earlier step has no scores.

    Args:
        matrix: Scores of at least one step.
    """
    rows = []
    for name, measure, _, difference in MEASURES:
        values = [_value(matrix, metric, measure) for metric in matrix.valued]
        rows.append([name, *(_text(value, difference) for value in values)])
    metrics = [in_words(metric) for metric in matrix.valued]
    return Table(['Number', *metrics], rows, metrics)


def _value(
    matrix: StreamMatrix, metric: str, measure: Callable[[Tensor], Tensor]
) -> float | None:
    values = matrix.tensor(metric)
    if values.isnan().all(dim=1).any():  # a step without scores
        return None
    value = float(measure(values))
    return None if value != value else value


def _text(value: float | None, difference: bool) -> str:
    if value is None:
        return '–'
    return f'{100 * value:+.1f} points' if difference else f'{100 * value:.1f} %'
