"""Large images in tiles: small defects keep their pixels, borders leave no trace.

Own code, and not the slicers of SAHI or supervision: they bring packages that an edge
box has no use for, know no anomaly maps, and suppress or merge boxes by their overlap,
whoever saw them. Without knowing which box a border has cut, a piece of a defect may
stand beside the whole one or in its place, and two close defects may grow into one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmdefect.deploy.backend import Backend, told
from mmdefect.deploy.outputs import BoxOutput, MapOutput, Output
from mmdefect.deploy.spec import ModelSpec
from mmdefect.deploy.tile_boxes import Tile, merge_boxes
from mmdefect.utils.checks import brief

SMALLEST = 32
"""Pixels: below this no network sees anything."""
LARGEST = 1_000_000
"""Pixels: no image has such a side."""
MOST = 4096
"""Tiles of one image; one of 20,000 x 20,000 pixels has 529 of 1024 that share 128."""


class TooManyTilesError(ValueError):
    """An image that is too large for its tiles."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How an image is cut: tiles of one size, the last ones at the border of the image.

    An image that is smaller than a tile in one direction is not cut in it.

    Args:
        size: Width and height of a tile in pixels, or one number for both.
        overlap: How much of a tile its neighbour shows again at least: pixels (int), or
            the share of its size (float). A defect up to this size lies whole in some
            tile, so it should be twice that of the smallest defects or more.

    Raises:
        ValueError: If a size is below 32 pixels, or the overlap is negative or no
            smaller than the tile.

    Example:
        >>> Tiling(size=400, overlap=100).tiles(900, 300)
        [(0, 0, 400, 300), (300, 0, 700, 300), (500, 0, 900, 300)]
    """

    size: int | tuple[int, int]
    overlap: int | float = 0.2

    def __post_init__(self) -> None:
        if isinstance(self.size, Sequence) and len(self.size) != 2:
            raise ValueError(
                f'tile size={self.size!r}: expected one number of pixels, or two, '
                '(width, height)'
            )
        for side in self.sides:
            if type(side) is not int or not SMALLEST <= side <= LARGEST:
                raise ValueError(
                    f'tile size={brief(self.size)}: expected at least {SMALLEST} '
                    f'pixels and at most {LARGEST}, or (width, height); correct it'
                )
        if isinstance(self.overlap, bool) or not isinstance(self.overlap, int | float):
            raise ValueError(
                f'tile overlap={self.overlap!r}: expected pixels, such as 128, or a '
                'share, such as 0.2'
            )
        for side, shared in zip(self.sides, self.shared, strict=True):
            if not 0 <= shared < side:  # NaN as well
                raise ValueError(
                    f'tile overlap={self.overlap!r}: expected at least 0 and less than '
                    f'the size of a tile, {side} pixels (or a share below 1.0); make '
                    'it smaller'
                )

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height of a tile."""
        if isinstance(self.size, Sequence):
            width, height = self.size
            return width, height
        return self.size, self.size

    @property
    def shared(self) -> tuple[float, float]:
        """Least overlap in pixels, horizontal and vertical."""
        width, height = self.sides
        if isinstance(self.overlap, int):
            return self.overlap, self.overlap
        return _pixels(self.overlap, width), _pixels(self.overlap, height)

    def tiles(self, width: int, height: int) -> list[Tile]:
        """Cut an image; x1, y1, x2, y2 of each tile, row by row.

        Args:
            width: Of the image, in pixels.
            height: Of the image, in pixels.

        Raises:
            TooManyTilesError: If they would be more than 4,096.
        """
        columns, rows = (
            _starts(length, side, int(side - shared))
            for length, side, shared in zip(
                (width, height), self.sides, self.shared, strict=True
            )
        )
        if (count := len(columns) * len(rows)) > MOST:
            raise TooManyTilesError(
                f'tile size={self.size!r}, overlap={self.overlap!r}: expected at most '
                f'{MOST} tiles an image, not the {count} of {width}x{height} pixels; '
                'make the tiles larger or their overlap smaller'
            )
        wide, high = self.sides
        return [
            (x, y, min(x + wide, width), min(y + high, height))
            for y in rows
            for x in columns
        ]


class TiledBackend:
    """A backend that looks at images tile by tile.

    Boxes of all tiles are merged, see :func:`mmdefect.deploy.tile_boxes.merge_boxes`.
    Anomaly maps are blended: towards a border that it shares with another tile, the
    weight of a tile falls. The score of the image is the highest of its tiles, as the
    model scores a tile; with thresholds that were chosen on whole images, or on other
    tiles, its results say ``not calibrated``.

    Args:
        backend: Looks at the tiles.
        size: See :class:`Tiling`.
        overlap: See :class:`Tiling`.
        batch_size: How many tiles are looked at together.

    Raises:
        ValueError: If the model gives labels, or as :class:`Tiling`; on a call, if an
            image would be more than 4,096 tiles.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        size: int | tuple[int, int],
        overlap: int | float = 0.2,
        batch_size: int = 1,
    ) -> None:
        if backend.spec.task == 'labels':
            raise ValueError(
                f'tile size={size!r}: expected none with a classifier, which says '
                'something of a whole image; leave it out'
            )
        if type(batch_size) is not int or batch_size < 1:
            raise ValueError(f'batch_size={batch_size!r}: expected at least 1')
        self.backend = backend
        self.tiling = Tiling(size=size, overlap=overlap)
        self.batch_size = batch_size
        self.spec = spec_in_tiles(backend.spec, self.tiling)
        self.name = backend.name
        # Of a package, what its graph takes.
        self.package: Any = getattr(backend, 'package', None)

    def __call__(self, images: Sequence[np.ndarray]) -> list[Output]:
        """Look at images; see :class:`mmdefect.deploy.backend.Backend`."""
        return [self._look(image) for image in images]

    def told(self, product: str) -> TiledBackend:
        """The same model, which need not recognise the product."""
        other = copy.copy(self)
        other.backend = told(self.backend, product)
        return other

    def _look(self, image: np.ndarray) -> Output:
        height, width = image.shape[:2]
        tiles = self.tiling.tiles(width, height)
        if len(tiles) == 1:
            return self.backend([image])[0]
        outputs = list(self._outputs(image, tiles))
        boxes = [output for output in outputs if isinstance(output, BoxOutput)]
        if len(boxes) == len(tiles):
            return merge_boxes(tiles, boxes, size=(width, height))
        maps = [output for output in outputs if isinstance(output, MapOutput)]
        return blend_maps(tiles, maps, size=(width, height))

    def _outputs(self, image: np.ndarray, tiles: Sequence[Tile]) -> Iterator[Output]:
        for start in range(0, len(tiles), self.batch_size):
            batch = tiles[start : start + self.batch_size]
            yield from self.backend(
                [np.ascontiguousarray(image[y1:y2, x1:x2]) for x1, y1, x2, y2 in batch]
            )


def spec_in_tiles(spec: ModelSpec, tiling: Tiling | None) -> ModelSpec:
    """Whether thresholds hold for images that are looked at in these tiles, or whole.

    The highest of many scores of maps is larger than one, of good images, too. A box
    has the same score wherever it is looked at.

    Args:
        spec: Of the model.
        tiling: How images are cut; None for whole ones.

    Returns:
        The same, not calibrated if its thresholds were chosen otherwise.
    """
    chosen = calibrated_tile(spec)
    known = None if chosen is None else Tiling(**chosen)
    cuts = {one and (one.sides, one.shared) for one in (known, tiling)}
    if spec.task != 'maps' or len(cuts) == 1:
        return spec
    return replace(spec, alarms={}, calibrated=False)


def calibrated_tile(spec: ModelSpec) -> dict[str, Any] | None:
    """``size`` and ``overlap`` in which thresholds were chosen; None for whole ones."""
    return (spec.about.get('calibration') or {}).get('tile')


def blend_maps(
    tiles: Sequence[Tile], outputs: Sequence[MapOutput], *, size: tuple[int, int]
) -> MapOutput:
    """Lay the maps of tiles over each other without seams.

    Args:
        tiles: x1, y1, x2, y2 of each; together they cover the image.
        outputs: Of each tile.
        size: Width and height of the image.

    Returns:
        A weighted mean where tiles overlap; the score and the product are those of the
        tile with the highest score.
    """
    width, height = size
    total = np.zeros((height, width), np.float32)
    weights = np.zeros((height, width), np.float32)
    columns = _ramps({(x1, x2) for x1, _, x2, _ in tiles}, width)
    rows = _ramps({(y1, y2) for _, y1, _, y2 in tiles}, height)
    for (x1, y1, x2, y2), output in zip(tiles, outputs, strict=True):
        weight = rows[y1, y2][:, None] * columns[x1, x2]
        total[y1:y2, x1:x2] += weight * output.anomaly_map
        weights[y1:y2, x1:x2] += weight
    best = max(outputs, key=lambda output: output.score)
    return replace(best, anomaly_map=total / weights)


def _ramps(
    spans: set[tuple[int, int]], length: int
) -> dict[tuple[int, int], np.ndarray]:
    """Weights along one direction of each span, falling over what neighbours share."""
    order = sorted(spans)
    found = {}
    for index, (start, stop) in enumerate(order):
        place: np.ndarray = np.arange(start, stop) + 0.5
        weight: np.ndarray = np.ones(stop - start)
        if start > 0:
            shared = max(order[index - 1][1] - start, 1)
            weight = np.minimum(weight, (place - start) / shared)
        if stop < length:
            shared = max(stop - order[index + 1][0], 1)
            weight = np.minimum(weight, (stop - place) / shared)
        found[start, stop] = weight.astype(np.float32)
    return found


def _starts(length: int, side: int, stride: int) -> list[int]:
    if length <= side:
        return [0]
    regular = range(0, length - side, max(stride, 1))
    return [*regular, length - side]


def _pixels(share: float, side: int) -> float:
    # Rounded up: it is the least.
    return float(np.ceil(share * side)) if 0 <= share < 1 else float('nan')
