"""What a stream tells when its steps are done: the report, and a table in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from mmdefect.streams.matrix import MATRIX_FILE, StreamMatrix
from mmdefect.streams.report.stream import write_report
from mmdefect.streams.summary import summary_text

# Takes a sentence and the level of the log.
Say = Callable[[str, int], None]


def draw_report(work_dir: Path, say: Say) -> str | None:
    """Draw the report; an error in it does not end the stream, and is returned."""
    try:
        path = write_report(work_dir)
    except Exception as error:  # whatever a plot stumbles over
        text = f'{type(error).__name__}: {error}'
        say(
            f'the report cannot be drawn ({text}); models and scores do not suffer',
            logging.ERROR,
        )
        return text
    say(f'report: {path}', logging.INFO)
    return None


def sum_up(work_dir: Path, say: Say) -> None:
    """Draw the report, whatever an interrupted run left of it, and show the scores.

    Raises:
        RuntimeError: The report cannot be drawn.
    """
    error = draw_report(work_dir, say)
    matrix = work_dir / MATRIX_FILE
    if matrix.is_file():
        table = summary_text(StreamMatrix.load(matrix))
        say(f'all scores, as in {matrix}:\n{table}', logging.INFO)
    if error:
        raise RuntimeError(
            f'the steps are done and their scores are in {matrix}, but the report of '
            f'{work_dir} cannot be drawn: {error}; when the cause is gone, draw it by '
            'the same command with --resume'
        )
