"""Boxes on images, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmdefect.visualization.plots import INK, shortened

# Bright enough for grey metal, apart for colour-blind readers (Paul Tol, 'bright' and
# 'light'), and repeated after twelve classes: the label is always written as well.
CLASS_COLOURS = (
    '#66ccee', '#ff8866', '#ccbb44', '#44dd99', '#ee88cc', '#ffffff', '#ffaa44',
    '#bbcc33', '#aaaaff', '#ffaabb', '#88ddcc', '#dddd88',
)  # fmt: skip


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """Colour of each class, by its place in the stream's order."""
    return {
        name: CLASS_COLOURS[k % len(CLASS_COLOURS)] for k, name in enumerate(classes)
    }


def draw_boxes(
    axes: Axes, boxes: Sequence[Mapping[str, Any]], *, colours: Mapping[str, str]
) -> None:
    """Draw boxes with their labels, the best scores on top, without overlap."""
    # Worst first, so that the best lies on top.
    boxes = sorted(boxes, key=lambda entry: entry.get('score', 1))
    size = max(axes.get_xlim()), max(axes.get_ylim())
    places: list[_Place] = []
    for box in reversed(boxes):  # the best chooses first
        places.append(_place(box['bbox'], len(_label(box)), size, places))
    for box, place in zip(boxes, reversed(places), strict=True):
        x1, y1, x2, y2 = box['bbox']
        colour = colours.get(box['label'], '#bbbbbb')
        frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, lw=1.6)
        frame.set_path_effects(
            [patheffects.withStroke(linewidth=3, foreground='black', alpha=0.45)]
        )
        axes.add_patch(frame)
        axes.text(
            place.right if place.right == x2 else place.left,
            place.bottom,
            _label(box),
            color=INK,
            fontsize=6.5,
            ha='right' if place.right == x2 else 'left',
            va='bottom',
            clip_on=True,
            bbox={'facecolor': colour, 'edgecolor': 'none', 'pad': 1.2},
        )


class _Place(NamedTuple):
    """Where a label is, in pixels of the image."""

    left: float
    right: float
    bottom: float


def _label(box: Mapping[str, Any]) -> str:
    score = f' {100 * box["score"]:.0f}' if 'score' in box else ''
    return shortened(box['label']) + score


def _place(
    bbox: Sequence[float],
    letters: int,
    size: tuple[float, float],
    taken: Sequence[_Place],
) -> _Place:
    """Choose a place for a label: above the box, or where no better one has a label."""
    x1, y1, x2, y2 = bbox
    # Of the font on a panel of the width that draw_panels makes.
    long, high = 0.024 * size[0] * letters, 0.065 * size[1]
    # To the free side, so that the frame does not cut the text.
    left, right = (x2 - long, x2) if x1 > 0.55 * size[0] else (x1, x1 + long)
    tried = [
        _Place(left, right, bottom)
        for bottom in (y1, y2 + high, y1 + high, y2)
        if high <= bottom <= size[1]
    ] or [_Place(left, right, y1 + high)]
    return next((one for one in tried if not _meets(one, taken, high)), tried[0])


def _meets(place: _Place, taken: Sequence[_Place], high: float) -> bool:
    return any(
        abs(place.bottom - other.bottom) < high
        and place.left < other.right
        and other.left < place.right
        for other in taken
    )


def draw_panels(
    image: np.ndarray,
    panels: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    colours: Mapping[str, str],
) -> Figure:
    """Show an image several times, each time with other boxes.

    Args:
        image: Array of shape ``(H, W)`` or ``(H, W, 3)``, uint8, RGB.
        panels: Title of each panel -> its boxes: ``bbox`` (x1, y1, x2, y2 in pixels),
            ``label`` and, for predictions, ``score``.
        colours: Class -> colour; other classes are grey.

    Raises:
        ValueError: If there is no panel.
    """
    if not panels:
        raise ValueError('panels={}: expected one at least')
    height, width = image.shape[:2]
    side = 2.3
    figure = Figure(figsize=(side * len(panels), side * height / width + 0.25))
    for axes, (title, boxes) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        axes.imshow(image, cmap='gray', vmin=0, vmax=255)
        draw_boxes(axes, boxes, colours=colours)
        axes.set_title(shortened(title), fontsize=8, color=INK, pad=4)
        axes.set_axis_off()
    figure.subplots_adjust(0, 0, 1, 0.9, wspace=0.04)
    return figure
