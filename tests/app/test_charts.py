"""Charts are HTML of bars and lines in a box of 100 x 100."""

from __future__ import annotations

import re

import numpy as np

from mmdefect.app.charts import BAD, GOOD, histogram, lines

NONE = np.zeros(0, np.float32)


def rectangles(html: str, colour: str) -> list[tuple[float, ...]]:
    """x, y, width and height."""
    numbers = ' '.join(rf'{name}="([\d.]+)"' for name in ('x', 'y', 'width', 'height'))
    found = re.findall(rf'<rect class="\w+" {numbers} fill="{colour}"/>', html)
    return [tuple(map(float, one)) for one in found]


def test_feature_defects_stand_above_the_axis_all_else_below() -> None:
    good, bad = np.float32([0.1, 0.1, 0.1, 0.1, 0.3]), np.float32([0.9])
    html = histogram(good, bad, NONE, threshold=0.25, low=0, high=1)
    # Heights are roots: four images are twice as high as one.
    assert rectangles(html, GOOD) == [(8.33, 50, 2.08, 46), (29.17, 50, 2.08, 23)]
    assert rectangles(html, BAD) == [(89.58, 4, 2.08, 46)]
    assert '<i class="at" style="left:25.00%">' in html


def test_feature_what_is_beyond_an_end_is_counted_there() -> None:
    bad = np.float32([-np.inf, 7])
    html = histogram(NONE, bad, np.float32([3]), threshold=9, low=0, high=2)
    assert [one[0] for one in rectangles(html, BAD)] == [0, 97.92]
    assert '<i class="seen" style="left:100.00%">' in html
    assert '<i class="at" style="left:100.00%">' in html


def test_feature_a_day_without_a_value_is_a_gap() -> None:
    html = lines({'psi': [0, 0.2, None, 0.1]}, ['1', '2', '3', '4'], band=0.25)
    points = re.findall(r'points="([^"]+)"', html)
    assert points == ['0.00,100.00 33.33,27.27', '94.44,63.64 100.00,63.64']
    assert rectangles(html, 'currentColor') == [(0, 9.09, 100, 90.91)]


def test_feature_names_cannot_bring_html() -> None:
    assert '<script' not in lines({'<script>': [1.0]}, ['<script>'])
