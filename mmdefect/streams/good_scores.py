"""What good images score: all there is to tell of products without a defect."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mmdefect.streams.matrix import StepScores, StreamMatrix

HEADER = (
    'Product',
    'Good images tested',
    'Half score below',
    '95 % below',
    '99 % below',
    'Highest',
)
"""Columns of :func:`good_rows`; all but the first are numbers."""
_SCALARS = ('good_images', 'score_q50', 'score_q95', 'score_q99', 'score_max')


def good_rows(matrix: StreamMatrix) -> list[list[str]]:
    """One row a product of which the last step was tested with good images only.

    Returns:
        Texts, as :data:`HEADER` names them; empty where every product has defective
        images, or none has an image.
    """
    rows = []
    for last in matrix.steps[-1:]:
        for name in last.old + last.new:
            count, *scores = (_scalar(last, key, name) for key in _SCALARS)
            if count > 0 and without_defects(last, [name]):
                rows.append([name, f'{count:.0f}', *(f'{v:.4g}' for v in scores)])
    return rows


def why_undefined(last: StepScores) -> str:
    """Return in words why no class has a value after a step."""
    if without_defects(last, last.old + last.new):
        return 'no product has defective test images'
    return 'the test set has not what it takes'


def without_defects(scores: StepScores, names: Sequence[str]) -> bool:
    """Whether a test found no defective image of any of the products."""
    return all(_scalar(scores, 'defective_images', name) == 0 for name in names)


def _scalar(scores: StepScores, key: str, name: str) -> float:
    """Value of ``<prefix>/<key>/<name>``; NaN if the metric does not report it."""
    for found, value in scores.scalars.items():
        if f'/{found}'.endswith(f'/{key}/{name}'):
            return value
    return math.nan
