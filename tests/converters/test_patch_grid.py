from __future__ import annotations

import numpy as np
import pytest

from mmdefect.converters.patch_grid import Settings, shares_on_grid


def test_shape_grid() -> None:
    """Every two pixels, the last ones against the edge; shares of object pixels."""
    inside = np.zeros((5, 7), bool)
    inside[4, 6] = True
    inside[0, :2] = True
    assert shares_on_grid(inside, Settings(size=4, stride=2)) == [
        (0, 0, 2 / 16),
        (0, 2, 0.0),
        (0, 3, 0.0),
        (1, 0, 0.0),
        (1, 2, 0.0),
        (1, 3, 1 / 16),
    ]


@pytest.mark.parametrize(
    ('length', 'starts'),
    [(112, [0]), (224, [0, 56, 112]), (300, [0, 56, 112, 168, 188])],
)
def test_shape_default_grid(length: int, starts: list) -> None:
    """As in the datasets' README: 49 patches of an image of 448 pixels."""
    found = shares_on_grid(np.zeros((112, length), bool), Settings())
    assert [x for _, x, _ in found] == starts
    assert len(shares_on_grid(np.zeros((448, 448), bool), Settings())) == 49


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'size': 0}, 'size=0: expected at least 1'),
        ({'stride': 0}, 'stride=0: expected at least 1'),
        ({'min_share': 0.0}, 'min_share=0.0: expected more than 0 and at most 1'),
        ({'min_share': 1.1}, 'min_share=1.1: expected'),
        ({'shares': (0.6, 0.2, 0.1)}, 'three numbers from 0 on that add up to 1'),
        ({'shares': (1.2, -0.2, 0.0)}, 'three numbers from 0 on that add up to 1'),
    ],
)
def test_exception_settings(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**kwargs)
