"""Boxes: panels, labels, colours."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from mmdefect.visualization.boxes import class_colours, draw_panels

IMAGE = np.full((60, 80), 128, dtype=np.uint8)
TRUTH = [{'bbox': [10, 10, 50, 40], 'label': 'crazing'}]
PREDICTION = [
    {'bbox': [11, 12, 52, 41], 'label': 'crazing', 'score': 0.874},
    {'bbox': [0, 0, 9, 9], 'label': 'dirt', 'score': 0.31},
]


def test_smoke(tmp_path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / 'plate.png')
    figure = draw_panels(
        tmp_path / 'plate.png',
        {'ground truth': TRUTH, 'after step 0': PREDICTION},
        colours=class_colours(['crazing']),
    )
    assert [axes.get_title() for axes in figure.axes] == [
        'ground truth',
        'after step 0',
    ]
    left, right = figure.axes
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


def test_feature_no_boxes_is_just_the_image() -> None:
    figure = draw_panels(IMAGE, {'ground truth': []}, colours={})
    assert len(figure.axes[0].images) == 1
    assert not figure.axes[0].patches


def test_feature_colours_follow_the_order_of_the_stream() -> None:
    few, many = class_colours(['a', 'b']), class_colours([*'abcdefghijklmn'])
    assert few == {name: many[name] for name in few}
    assert len(set(many.values())) == 12


def test_exception_no_panel_no_file() -> None:
    with pytest.raises(ValueError, match='no panels were given'):
        draw_panels(IMAGE, {}, colours={})
    with pytest.raises(FileNotFoundError, match=r"'no\.png' does not exist"):
        draw_panels('no.png', {'ground truth': []}, colours={})
