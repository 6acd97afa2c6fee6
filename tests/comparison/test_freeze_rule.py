"""The four-quadrant rule."""

from __future__ import annotations

import pytest

from mmdefect.comparison.freeze_rule import LARGE, suggest


@pytest.mark.parametrize(
    ('images', 'similarity', 'quadrant', 'fraction'),
    [
        (LARGE, 'low', 'Q1', 1.0),
        (LARGE, 'high', 'Q2', 0.33),
        # The study's own case.
        (6633, 'low', 'Q3', 0.67),
        (6633, 'high', 'Q4', 0.0),
    ],
)
def test_feature_quadrants(
    images: int, similarity: str, quadrant: str, fraction: float
) -> None:
    found = suggest(images, similarity)
    assert (found.quadrant, found.fraction) == (quadrant, fraction)
    assert f'default_hooks.freeze.quadrant={quadrant}' in str(found)


def test_exception_bad_input() -> None:
    with pytest.raises(ValueError, match='images=0: expected at least 1'):
        suggest(0, 'low')
    with pytest.raises(ValueError, match='similarity'):
        suggest(10, 'middling')
