"""Clusters as pictures, so that eyes can check what numbers say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mmdefect.converters.near_duplicates.descriptors import (
    REACH,
    Descriptors,
    read_grey,
)
from mmdefect.converters.near_duplicates.opening import sample
from mmdefect.converters.near_duplicates.similarity import align

_CELL = 160


def contact_sheet(
    paths: Sequence[Path],
    found: Descriptors,
    rows: Sequence[Sequence[int]],
) -> np.ndarray:
    """Draw one row a cluster, its images turned onto the first one.

    Siblings look the same then, to the pixel; what differs is another photograph.

    Args:
        paths: Image files.
        found: Their descriptors.
        rows: Indices of the images of each row, which may differ in number.

    Returns:
        Grey levels, uint8, shape (rows * 160, columns * 160).
    """
    columns = max(len(row) for row in rows)
    sheet = np.full((_CELL * len(rows), _CELL * columns), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, index in enumerate(row):
            cell = turned(paths[index], found, index, onto=row[0])
            place = (
                slice(_CELL * y, _CELL * (y + 1)),
                slice(_CELL * x, _CELL * (x + 1)),
            )
            sheet[place] = cell
    return sheet


def turned(path: Path, found: Descriptors, index: int, *, onto: int) -> np.ndarray:
    """Draw an image as ``onto`` lies, its name and similarity written on it.

    Returns:
        Grey levels, uint8, shape (160, 160).
    """
    how = align(found.maps[onto], found.maps[index])
    steps = (np.arange(_CELL) - (_CELL - 1) / 2) * (2 * REACH[1] / _CELL)
    plane = np.stack(np.meshgrid(steps, steps), axis=-1)
    # An angle a of the image is a + turn of the reference, or turn - a.
    cos, sin = np.cos(how.turn), np.sin(how.turn)
    back = np.array([[cos, sin], [-sin, cos]])
    if how.mirrored:
        back = np.array([[cos, sin], [sin, -cos]])
    cell = sample(read_grey(path), found.opening(index).place(plane @ back.T))
    text = f'{path.stem[-10:]} {how.similarity:.3f}'
    cv2.putText(cell, text, (2, 10), cv2.FONT_HERSHEY_SIMPLEX, 0.33, 255)
    return cell


def choose_rows(
    clusters: np.ndarray, *, number: int = 12, columns: int = 8, seed: int = 0
) -> list[list[int]]:
    """Draw images of the ``number`` clusters to show, half of them the largest ones.

    Returns:
        Indices of the images of each row, at most ``columns``.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(-np.bincount(clusters), kind='stable')
    head, tail = order[: number // 2], order[number // 2 :]
    rest = min(number - len(head), len(tail))
    chosen = [*head, *sorted(rng.choice(tail, rest, replace=False))]
    rows = []
    for cluster in chosen:
        members = np.flatnonzero(clusters == cluster)
        size = min(columns, len(members))
        rows.append(sorted(rng.choice(members, size, replace=False).tolist()))
    return rows
