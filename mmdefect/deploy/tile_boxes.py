"""Boxes that several tiles have of one image, put together to one box a defect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmdefect.deploy.outputs import BoxOutput

Tile = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels of the image."""

SAME = 0.4
"""Intersection over union from which boxes of two tiles are one: a side of a defect of
20 pixels is two pixels off in either."""
INSIDE = 0.8
"""Share of a cut box that lies in a whole one from which it is a piece of it; and of
what its tile sees of the whole one that lies in the cut box."""
LARGER = 3.0
"""Most that a piece may be larger than the whole: of a defect of which little is seen,
a network guesses the size that it knows."""


def merge_boxes(
    tiles: Sequence[Tile], outputs: Sequence[BoxOutput], *, size: tuple[int, int]
) -> BoxOutput:
    """Put the boxes of overlapping tiles together, class by class.

    A box that touches a border inside of the image is *cut*: it may be a piece of a
    defect. Boxes of different tiles are sightings of one defect from an intersection
    over union of 0.4 on. If one is cut, it is taken where both tiles look: there a
    piece and the whole show the same part, whatever the size of the rest, and so do the
    two halves of a scratch that is longer than a tile. A cut box is a piece of a whole
    one, too, if it lies in it (0.8 of it), or the other way round where its tile looks,
    unless it is more than three times as large.

    The two that agree most and are surest come together first, and so do what they
    belong to: the order of tiles and boxes has no say. Of a defect, a tile gives one
    box: two defects that lie closely together and that a tile tells apart stay two.
    What remains of each defect is its best whole box, or the box around all of its
    pieces, with the highest score of all. Suppression by score would keep a piece of a
    higher score in place of the whole, a weighted mean of all sightings would be drawn
    towards the pieces.

    Args:
        tiles: Of the image, together covering it.
        outputs: Of each tile, in pixels of the tile.
        size: Width and height of the image.

    Returns:
        Boxes in pixels of the image, the best first.
    """
    found = _gather(tiles, outputs, size)
    kept: list[tuple[np.ndarray, float, int]] = []
    for label in np.unique(found.labels):
        ours = found.of_class(int(label))
        kept += [(*_one_box(ours, group), int(label)) for group in _groups(ours)]
    kept.sort(key=lambda one: -one[1])
    return BoxOutput(
        boxes=np.array([box for box, _, _ in kept], np.float32).reshape(-1, 4),
        scores=np.array([score for _, score, _ in kept], np.float32),
        labels=np.array([label for _, _, label in kept], np.int64),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sightings:
    """Boxes of all tiles.

    Attributes:
        boxes: ``(N, 4)`` float64 in pixels of the image.
        beyond: ``(N, 4)``, the same, cut sides moved a little over their border.
        cut: ``(N,)``, which of them touch a border inside of the image.
        scores: ``(N,)`` float32.
        labels: ``(N,)``.
        tiles: ``(N,)``, number of the tile.
        places: ``(N, 4)``, the tile itself.
        views: ``(N, 4)``, the same, inner sides moved a little outward.
    """

    boxes: np.ndarray
    beyond: np.ndarray
    cut: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    tiles: np.ndarray
    places: np.ndarray
    views: np.ndarray

    def of_class(self, label: int) -> _Sightings:
        chosen = self.labels == label
        return _Sightings(**{name: part[chosen] for name, part in vars(self).items()})


def _gather(
    tiles: Sequence[Tile], outputs: Sequence[BoxOutput], size: tuple[int, int]
) -> _Sightings:
    """Shift all boxes into the image, and find which are cut."""
    counts = [len(output.scores) for output in outputs]
    owners = np.repeat(np.arange(len(tiles)), counts)
    places = np.array(tiles, np.float64).reshape(-1, 4)
    boxes = np.concatenate([output.boxes for output in outputs]).astype(np.float64)
    boxes = boxes.reshape(-1, 4) + np.tile(places[owners, :2], 2)
    inner = places[owners] != np.array([0, 0, *size])
    # A network places a side to one or two of its own pixels, on a share of the tile.
    sides = np.tile(places[owners, 2:] - places[owners, :2], 2)
    margin = np.maximum(3.0, 0.01 * sides)
    cut = inner & (np.abs(boxes - places[owners]) <= margin)
    outward = margin * np.array([-1, -1, 1, 1])
    views = places[owners] + inner * outward
    return _Sightings(
        boxes=boxes,
        beyond=np.where(cut, views, boxes),
        cut=cut.any(axis=1),
        scores=np.concatenate([output.scores for output in outputs]),
        labels=np.concatenate([output.labels for output in outputs]),
        tiles=owners,
        places=places[owners],
        views=views,
    )


def _groups(found: _Sightings) -> list[list[int]]:
    """Sightings of one class by defect, the surest agreements first."""
    tiles, cut = found.tiles.tolist(), found.cut.tolist()
    groups = [{k} for k in range(len(tiles))]
    one, other, agreement = _pairs(found)
    # A sure box counts for more: beside it lie those that the model all but drops.
    sure = agreement * found.scores[one] * found.scores[other]
    order = np.argsort(-sure, kind='stable')
    pairs = list(zip(one[order].tolist(), other[order].tolist(), strict=True))
    for first, second in pairs:
        mine, others = groups[first], groups[second]
        apart = {tiles[k] for k in mine}.isdisjoint(tiles[k] for k in others)
        # Pieces do not make one defect of two whole ones.
        pieces = all(cut[k] for k in mine) or all(cut[k] for k in others)
        if apart and (pieces or not cut[first]):
            _unite(groups, first, second)
    for first, second in pairs:
        # A second piece, in one tile, of a whole box is that, and no other defect.
        if cut[first] and not cut[second] and len(groups[first]) == 1:
            _unite(groups, first, second)
    return [sorted(group) for k, group in enumerate(groups) if k == min(group)]


def _unite(groups: list[set[int]], first: int, second: int) -> None:
    groups[first] |= groups[second]
    for member in groups[second]:
        groups[member] = groups[first]


def _pairs(found: _Sightings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes of two tiles that agree; the first is cut if one is.

    Returns:
        Numbers of the first, of the second, and how much they agree, in (0, 1].
    """
    firsts, seconds = [], []
    for tile in np.unique(found.tiles):
        own = np.flatnonzero(found.tiles == tile)
        later = found.tiles > tile
        others = np.flatnonzero(later & _touch(found.views[own[0]], found.beyond))
        rows, columns = np.nonzero(
            _touch(found.beyond[own][:, None], found.beyond[others][None])
        )
        firsts.append(own[rows])
        seconds.append(others[columns])
    one, other = np.concatenate(firsts), np.concatenate(seconds)
    swap = found.cut[other] & ~found.cut[one]
    one, other = np.where(swap, other, one), np.where(swap, one, other)
    agreement = _agreement(found, one, other)
    same = agreement > 0
    return one[same], other[same], agreement[same]


def _touch(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether boxes share any area."""
    across = (one[..., 0] < other[..., 2]) & (other[..., 0] < one[..., 2])
    down = (one[..., 1] < other[..., 3]) & (other[..., 1] < one[..., 3])
    return across & down


def _agreement(found: _Sightings, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Agreement of boxes with those of other tiles, pair by pair.

    Args:
        found: All of a class.
        one: Numbers of boxes, ``(P,)``; of a pair with a cut one, that one.
        other: Of what each is compared with.

    Returns:
        ``(P,)``, in (0, 1]; 0 where they are different defects.
    """
    box, boxes = found.boxes[one], found.boxes[other]
    iou, whole = _overlap(box, boxes)
    both = _common(found.places[one], found.places[other])
    part, parts = _common(box, both), _common(boxes, both)
    seen, inside = _overlap(part, parts)
    # Two pieces go on behind their borders, and tiles may share nothing but a border.
    wider = _common(found.views[one], found.views[other])
    beyond, _ = _overlap(
        _common(found.beyond[one], wider), _common(found.beyond[other], wider)
    )
    cut = found.cut[one]
    iou = np.where(cut, seen, iou)
    iou = np.where(found.cut[other], np.maximum(iou, beyond), iou)
    around = _area(_common(part, parts)) / np.maximum(_area(parts), 1e-9)
    around *= _area(box) <= LARGER * _area(boxes)
    piece = cut & ~found.cut[other]
    piece &= np.maximum(np.maximum(inside, whole), around) >= INSIDE
    return np.where((iou >= SAME) | piece, np.maximum(iou, 1e-6), 0.0)


def _overlap(one: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection over union with each, and share of the first in each."""
    area, shared = _area(one), _area(_common(one, others))
    union = area + _area(others) - shared
    return shared / np.maximum(union, 1e-9), shared / np.maximum(area, 1e-9)


def _one_box(found: _Sightings, group: list[int]) -> tuple[np.ndarray, float]:
    """The box and the score of a defect, of its sightings."""
    score = float(found.scores[group].max())
    whole = [k for k in group if not found.cut[k]]
    if whole:
        return found.boxes[max(whole, key=lambda k: found.scores[k])], score
    boxes = found.boxes[group]
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)]), score


def _common(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    low = np.maximum(one[..., :2], other[..., :2])
    high = np.minimum(one[..., 2:], other[..., 2:])
    return np.concatenate([low, high], axis=-1)


def _area(boxes: np.ndarray) -> np.ndarray:
    sides = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    return sides[..., 0] * sides[..., 1]
