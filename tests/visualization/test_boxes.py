"""Boxes: panels, labels, colours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from mmdefect.visualization.boxes import class_colours, draw_panels

IMAGE = np.full((60, 80), 128, dtype=np.uint8)
TRUTH = [{'bbox': [10, 10, 50, 40], 'label': 'crazing'}]
PREDICTION = [
    {'bbox': [11, 12, 52, 41], 'label': 'crazing', 'score': 0.874},
    {'bbox': [0, 0, 9, 9], 'label': 'dirt', 'score': 0.31},
]


def test_smoke() -> None:
    figure = draw_panels(
        IMAGE,
        {'ground truth': TRUTH, 'after step 0': PREDICTION, 'none': []},
        colours=class_colours(['crazing']),
    )
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ['ground truth', 'after step 0', 'none']
    left, right, bare = figure.axes
    assert len(bare.images) == 1
    assert not bare.patches
    assert [text.get_text() for text in left.texts] == ['crazing']
    # The best box is drawn last, on top.
    assert [text.get_text() for text in right.texts] == ['dirt 31', 'crazing 87']
    frame = left.patches[0]
    assert isinstance(frame, Rectangle)
    assert frame.get_bbox().bounds == (10, 10, 40, 30)


@pytest.mark.parametrize('x', [20, 150])
def test_feature_labels_of_one_place_stay_apart(x, tmp_path) -> None:
    """Three classes claim the same box, the best has its label above."""
    names = ('crazing', 'rolled-in_scale', 'pitted_surface')
    boxes = [
        {'bbox': [x + k, 60 + k, x + 60, 120], 'label': name, 'score': 0.9 - k / 10}
        for k, name in enumerate(names)
    ]
    image = np.full((200, 240), 128, dtype=np.uint8)
    figure = draw_panels(image, {'after step 1': boxes}, colours=class_colours(names))
    figure.savefig(tmp_path / 'a.png')
    places = [text.get_window_extent() for text in figure.axes[0].texts]
    for first, second in itertools.combinations(places, 2):
        assert not first.overlaps(second)
    best = figure.axes[0].texts[-1]
    assert best.get_text() == 'crazing 90'
    assert best.get_position()[1] == 60


def test_feature_colours_follow_the_order_of_the_stream() -> None:
    few, many = class_colours(['a', 'b']), class_colours([*'abcdefghijklmn'])
    assert few == {name: many[name] for name in few}
    assert len(set(many.values())) == 12


def test_exception_no_panel() -> None:
    with pytest.raises(ValueError, match=r'panels=.*: expected one at least'):
        draw_panels(IMAGE, {}, colours={})
