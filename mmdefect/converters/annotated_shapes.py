"""Shapes of LabelMe and COCO, drawn as pixels.

Either format gives images as (name, (height, width), draw), where ``draw()`` gives
(label, boolean pixels) of every shape in the order of the file, one at a time.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import cv2
import numpy as np

from mmdefect.converters.labelme import SIZE, read_content
from mmdefect.datasets.boxes.coco_file import image_size_of, read_coco
from mmdefect.utils.checks import brief, visible
from mmdefect.utils.image_header import header_of
from mmdefect.utils.images import mask_of
from mmdefect.utils.text_files import inner_path

Layers = Iterator[tuple[str, np.ndarray]]
"""One after the other: all shapes of a large image are more than memory holds."""
Drawable = tuple[str, tuple[int, int], Callable[[], Layers]]
SHAPES = ('polygon', 'rectangle', 'circle', 'mask', 'line', 'linestrip')
"""Those of LabelMe's that can be drawn; points have no area."""
MAX_OUTLINE = 10_000_000
"""Length of all edges of a polygon in pixels; drawing it takes that much time."""


def fill(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Fill a closed outline as pycocotools does, for files of LabelMe and of COCO.

    Args:
        points: x and y in pixels from the corner of the image, shape (N, 2), N >= 3.
        size: Height and width of the image.

    Returns:
        Boolean, shape (H, W).

    Raises:
        ImportError: If pycocotools is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError(
            'outlines are filled by pycocotools, which is not installed: expected it '
            'in this environment; do pip install pycocotools'
        ) from error
    runs = mask.frPyObjects([points.ravel().tolist()], *size)
    return mask.decode(mask.merge(runs)).astype(bool)


def labelme_images(folder: Path, *, line_width: int | None) -> Iterator[Drawable]:
    """Images that LabelMe annotated; see :func:`index_masks.from_labelme`."""
    paths = sorted(folder.rglob('*.json'))
    if not paths:
        raise FileNotFoundError(
            f'there is no LabelMe file in {folder}: expected *.json; check the path'
        )
    for path in paths:
        content, shapes, image = read_content(path)
        width, height = image_size_of(content, str(path), SIZE)
        size = height, width
        # LabelMe on Windows writes backslashes, and of the path only the name counts.
        stem = inner_path(PureWindowsPath(image).stem, str(path))
        name = (path.relative_to(folder).parent / stem).as_posix()
        draw = partial(_labelme_layers, shapes, size, path, line_width)
        yield name, size, draw


def _labelme_layers(
    shapes: list[Mapping[str, Any]],
    size: tuple[int, int],
    path: Path,
    line_width: int | None,
) -> Layers:
    for number, shape in enumerate(shapes, 1):
        where = f'{path}: shape {number}'
        try:
            label = shape['label']
            kind = shape.get('shape_type') or 'polygon'
            points = np.asarray(shape['points'], np.float64)
            if not isinstance(label, str | int) or not isinstance(kind, str):
                raise TypeError('no text')
            if points.size and (points.ndim != 2 or points.shape[1] != 2):
                raise ValueError('no pairs')
        except (
            AttributeError,
            KeyError,
            TypeError,
            OverflowError,
            ValueError,
        ) as error:
            raise ValueError(
                f'{where} lacks a label or points ({type(error).__name__}: {error}): '
                'expected both, points as pairs of numbers; correct it in LabelMe'
            ) from error
        points = points.reshape(-1, 2)
        _check_points(points, size, where)
        canvas = np.zeros(size, np.uint8)
        _draw_shape(canvas, kind, points, shape, where, line_width)
        if not canvas.any():
            raise ValueError(
                f'{where}, {brief(label)}, covers no pixel of its image of '
                f'{size[1]}x{size[0]}: expected some; correct or remove it in LabelMe'
            )
        yield str(label), canvas > 0


def _check_points(points: np.ndarray, size: tuple[int, int], where: str) -> None:
    """Refuse what would crash the C code that draws, or take all memory."""
    reach = 10 * max(size) + 1000
    if not np.isfinite(points).all() or np.abs(points).max(initial=0) > reach:
        raise ValueError(
            f'{where} has points that are no finite numbers near its image of '
            f'{size[1]}x{size[0]}: expected pixels; correct or remove it'
        )
    length = np.abs(np.diff(points, axis=0)).max(axis=1, initial=0).sum()
    if length > MAX_OUTLINE:
        raise ValueError(
            f'{where} has an outline of {length:.0f} pixels: expected at most '
            f'{MAX_OUTLINE}; simplify or remove it'
        )


def _draw_shape(
    canvas: np.ndarray,
    kind: str,
    points: np.ndarray,
    shape: Mapping[str, Any],
    where: str,
    line_width: int | None,
) -> None:
    """Draw one shape with 1; coordinates are in pixels, 0 the edge of the image."""
    least = {'polygon': 3, 'rectangle': 2, 'circle': 2, 'mask': 1, 'linestrip': 2}
    if kind not in SHAPES or len(points) < least.get(kind, 2):
        raise ValueError(
            f'{where} is a {visible(kind[:80])} of {len(points)} points: expected one '
            f'of {", ".join(SHAPES)} with all its points; correct it in LabelMe'
        )
    if kind == 'rectangle':
        (left, top), (right, bottom) = points.min(0), points.max(0)
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    if kind in ('polygon', 'rectangle'):
        canvas[fill(points, canvas.shape)] = 1
    elif kind == 'circle':
        radius = float(np.hypot(*(points[1] - points[0])))
        rows, columns = np.ogrid[: canvas.shape[0], : canvas.shape[1]]
        away = np.hypot(columns + 0.5 - points[0, 0], rows + 0.5 - points[0, 1])
        canvas[away <= radius] = 1
    elif kind == 'mask':
        _paste(canvas, points[0], shape, where)
    elif line_width is None:
        raise ValueError(
            f'{where} is a {kind}, which has no area: expected a width in pixels; '
            'give --line-width, or draw a polygon'
        )
    else:
        # OpenCV counts pixels from their middle.
        cv2.polylines(canvas, [np.floor(points).astype(np.int32)], False, 1, line_width)


def _paste(
    canvas: np.ndarray, corner: np.ndarray, shape: Mapping[str, Any], where: str
) -> None:
    """LabelMe's masks are a PNG in base64, and the corner of their box."""
    try:
        data = base64.b64decode(shape['mask'])
        header = header_of(data)
        if header.width > canvas.shape[1] or header.height > canvas.shape[0]:
            raise ValueError('larger than its image')
        part, _ = mask_of(data)
        if part.ndim == 3:  # any colour, whatever its alpha
            part = part[..., :3].max(axis=2)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{where} is a mask that cannot be read ({type(error).__name__}: '
            f'{error}): expected a PNG in base64, no larger than its image; draw it '
            'again in LabelMe'
        ) from error
    x, y = np.rint(corner).astype(int).tolist()
    inside = canvas[y : y + part.shape[0], x : x + part.shape[1]]
    if min(x, y) < 0 or inside.shape != part.shape:
        raise ValueError(
            f'{where} is a mask that reaches out of its image: expected it inside; '
            'draw it again in LabelMe'
        )
    inside[part > 0] = 1


def coco_images(path: Path) -> tuple[list[Drawable], list[str]]:
    """Images of a COCO file, also those without annotations, and its classes by id."""
    content = read_coco(path, boxes=False)
    categories = sorted(content['categories'], key=lambda one: one['id'])
    names = {one['id']: one['name'] for one in categories}
    own = defaultdict(list)
    for annotation in content['annotations']:
        own[annotation['image_id']].append(annotation)
    images: list[Drawable] = []
    for image in content['images']:
        size = image['height'], image['width']
        name = PurePosixPath(image['file_name']).with_suffix('').as_posix()
        draw = partial(_coco_layers, own[image['id']], names, size, path)
        images.append((name, size, draw))
    return images, list(names.values())


def _coco_layers(
    annotations: list[Mapping[str, Any]],
    names: Mapping[int, str],
    size: tuple[int, int],
    path: Path,
) -> Layers:
    for annotation in annotations:
        shape = annotation.get('segmentation')
        where = f'{path}: the outline of annotation {annotation["id"]}'
        try:
            if isinstance(shape, dict):
                pixels = _draw_runs(shape, size)
            else:
                pixels = _draw_polygons(shape, size, where)
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(
                f'{where} cannot be drawn ({type(error).__name__}: {error}): expected '
                'polygons or RLE; correct or remove it'
            ) from error
        yield names[annotation['category_id']], pixels


def _draw_polygons(shape: Any, size: tuple[int, int], where: str) -> np.ndarray:
    """Draw a list of polygons [x, y, x, y, ...]; bool, shape (H, W)."""
    if not isinstance(shape, list) or not shape:
        raise TypeError('no segmentation')
    found = np.zeros(size, bool)
    for one in shape:
        sound = isinstance(one, list) and len(one) >= 6 and len(one) % 2 == 0
        if not sound or any(type(number) not in (int, float) for number in one):
            raise TypeError('a polygon is no list of three or more pairs of numbers')
        points = np.asarray(one, np.float64).reshape(-1, 2)
        # The edge back to the first point counts as well.
        _check_points(np.concatenate([points, points[:1]]), size, where)
        found |= fill(points, size)
    return found


def _draw_runs(shape: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Draw RLE, lengths of runs down the columns, the first one empty."""
    runs = shape['counts']
    if isinstance(runs, str):
        runs = _unpack(runs)
    height, width = size
    wanted = shape['size']
    if wanted != [height, width]:
        raise TypeError(f'of the size {brief(wanted)}, its image has {[*size]}')
    sound = isinstance(runs, list) and all(
        type(run) is int and run >= 0 for run in runs
    )
    if not sound or sum(runs) != height * width:
        raise TypeError('the runs do not add up to the image')
    filled = np.arange(len(runs)) % 2 == 1
    return np.repeat(filled, runs).reshape(width, height).T


def _unpack(text: str) -> list[int]:
    """Lengths of runs from COCO's packed form.

    Six bits a character, from 48 on: five of the number, the least first, and one that
    says whether it goes on; from the fourth run on, the difference to the last but one.
    """
    runs: list[int] = []
    number = shift = 0
    for char in text:
        code = ord(char) - 48
        if not 0 <= code < 64 or shift > 60:
            raise TypeError('packed runs of other characters than COCO has')
        number |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    if shift:
        raise TypeError('packed runs that end in the middle')
    return runs
