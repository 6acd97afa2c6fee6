"""A stream in a handful of numbers."""

from __future__ import annotations

import math

import pytest

from mmdefect.streams.matrix import StreamMatrix
from mmdefect.streams.report.stream import write_report
from mmdefect.streams.report.summary import MEASURES, summary_sections, summary_table
from tests.helpers.synthetic_stream import make_stream

pytestmark = pytest.mark.usefixtures('undrawn')

CLASSES = ['bottle', 'cable', 'tile']


def matrix(*rows, metrics=('image_auroc',)) -> StreamMatrix:
    """One class more after each step; ``None`` is a step that was not tested."""
    found = StreamMatrix(classes=CLASSES, metrics=list(metrics))
    for step, row in enumerate(rows):
        if row is None:
            continue
        seen = CLASSES[: len(row)]
        scalars = {
            f'anomaly/{metric}/{name}': value
            for metric in metrics
            for name, value in zip(seen, row, strict=True)
        }
        found.add_step(step=step, old=seen[:-1], new=seen[-1:], scalars=scalars)
    return found


def column(table) -> list[str]:
    return [row[1] for row in table.rows]


def test_smoke() -> None:
    # Means after the steps: 90, 80, 60. ACC 76.7; drop 90 - (80 + 60) / 2 = 20.
    # bottle lost 90 - 60, cable 80 - 50: forgetting 30 and its negative.
    scores = matrix(
        [0.9], [0.8, 0.8], [0.6, 0.5, 0.7], metrics=('image_auroc', 'aupro')
    )
    table = summary_table(scores)
    assert list(table.header) == ['Number', 'image AUROC', 'AUPRO']
    assert column(table) == [
        '76.7 %',
        '60.0 %',
        '+20.0 points',
        '+30.0 points',
        '-30.0 points',
    ]
    assert [row[1] == row[2] for row in table.rows] == [True] * 5


@pytest.mark.parametrize(
    ('steps', 'expected'),
    [
        ([[0.9]], ['90.0 %', '90.0 %', '–', '–', '–']),
        ([None, [0.8, 0.8]], ['–'] * 5),  # a step was not tested
        ([[0.9], [0.8, math.nan]], ['85.0 %', '80.0 %']),  # a class is undefined
    ],
)
def test_feature_no_number(steps, expected) -> None:
    assert column(summary_table(matrix(*steps)))[: len(expected)] == expected


def test_feature_every_number_is_defined() -> None:
    numbers, meanings = summary_sections(matrix([0.9]))
    names = [measure[0] for measure in MEASURES]
    assert [row[0] for row in numbers.table.rows] == names
    assert [row[0] for row in meanings.table.rows] == names
    assert all(row[1].endswith('.') for row in meanings.table.rows)


def test_feature_report_has_both_sections(tmp_path) -> None:
    folder = write_report(make_stream(tmp_path)).parent
    text = (folder / 'report.md').read_text(encoding='utf-8')
    assert '## The stream in numbers' in text
    assert '| Number | AP50 | AP |' in text
    # Old classes: 71.0 before; 2.67 now. 71.0 - 37.5 over all six.
    assert "| Stage drop (IUF's FM) | +33.5 points | +16.8 points |" in text
    assert '## What these numbers mean' in text
