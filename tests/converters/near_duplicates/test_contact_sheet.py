from __future__ import annotations

import numpy as np

from mmdefect.converters.near_duplicates.contact_sheet import choose_rows, contact_sheet
from tests.converters.near_duplicates.conftest import Toy


def inner(sheet: np.ndarray, column: int) -> np.ndarray:
    """The disc of a cell, without the text above it."""
    return sheet[30:130, 160 * column + 30 : 160 * column + 130].astype(float)


def test_feature_siblings_look_the_same(toy: Toy) -> None:
    own = np.flatnonzero(toy.parts == 2)
    other = np.flatnonzero(toy.parts == 3)
    sheet = contact_sheet(toy.paths, toy.found, [[*own, other[0]], [other[1]]])
    assert sheet.shape == (320, 5 * 160)
    assert sheet.dtype == np.uint8
    reference = inner(sheet, 0)
    alike = [
        np.corrcoef(reference.ravel(), inner(sheet, column).ravel())[0, 1]
        for column in range(5)
    ]
    assert min(alike[:4]) > 0.97
    assert alike[4] < min(alike[:4]) - 0.01
    assert (sheet[160:, 160:] == 255).all()  # a shorter row stays white


def test_feature_rows() -> None:
    clusters = np.repeat(np.arange(6), [1, 9, 2, 3, 1, 4])
    rows = choose_rows(clusters, number=4, columns=5)
    assert [len(row) for row in rows[:2]] == [5, 4]  # the two largest, five at most
    assert len(rows) == 4
    assert {len(set(clusters[row])) for row in rows} == {1}
    assert len({clusters[row[0]] for row in rows}) == 4
    assert choose_rows(clusters, number=4, columns=5) == rows
    assert len(choose_rows(clusters, number=20)) == 6
