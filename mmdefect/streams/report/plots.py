"""Plots of a stream's scores, as reports and comparisons show them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmdefect.streams.report.record import StreamRecord
from mmdefect.visualization.page import Picture, in_words
from mmdefect.visualization.plots import group_bars, heat_map, save_figure

CLASS_BY_CLASS = (
    'Read a column downwards to see a class being forgotten. Empty cells: the class '
    'had not arrived yet, or its score is undefined.'
)


def class_map(
    record: StreamRecord, path: Path, *, scale: float = 1.0, name: str = ''
) -> Picture:
    """Draw the main metric of every class after every step.

    Args:
        record: A scored stream.
        path: The PNG to write.
        scale: Of its width on the page.
        name: Of the model, where several are shown.
    """
    if record.matrix is None:
        raise ValueError(f'{record.work_dir}: expected scores; test a step first')
    values = record.matrix.tensor(record.metric).tolist()
    about = f'{name}: {in_words(record.metric)}' if name else in_words(record.metric)
    figure = heat_map(
        values,
        rows=[f'after step {step}' for step in range(len(values))],
        columns=record.matrix.classes,
        title=f'{about} of every {record.say("class")}, in %',
    )
    alt = f'Heat map, {about}: steps downwards, {record.say("classes")} across'
    width = min(990, round(scale * (230 + 95 * len(record.matrix.classes))))
    return Picture(save_figure(figure, path), alt, width)


def score_bars(
    groups: Mapping[str, Mapping[str, float | None]], metric: str, path: Path
) -> Picture:
    """Draw the means of old, new and all classes, of steps or models."""
    figure = group_bars(groups, title=f'{in_words(metric)} by group, in %')
    alt = f'Bars of {in_words(metric)}, old, new and all: {", ".join(groups)}'
    return Picture(save_figure(figure, path), alt, min(990, 240 + 120 * len(groups)))
