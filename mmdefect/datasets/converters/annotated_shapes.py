"""Shapes of LabelMe and COCO, drawn as pixels.

Either format gives images as (name, (height, width), draw), where ``draw()`` gives
(label, boolean pixels) of every shape in the order of the file.
"""

from __future__ import annotations

import base64
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

import cv2
import numpy as np
from PIL import Image

Layers = list[tuple[str, np.ndarray]]
Drawable = tuple[str, tuple[int, int], Callable[[], Layers]]
SHAPES = ('polygon', 'rectangle', 'circle', 'mask', 'line', 'linestrip')
"""Those of LabelMe's that can be drawn; points have no area."""


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is no JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no {what} {path}; expected a JSON file: check the path.'
        )
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(
            f'{path} is no JSON ({error}); expected a {what}: export it again.'
        ) from error


# ------------------------------------------------------------------------- LabelMe


def labelme_images(folder: Path, *, line_width: int | None) -> Iterator[Drawable]:
    """Images that LabelMe annotated; see :func:`index_masks.from_labelme`."""
    paths = sorted(folder.rglob('*.json'))
    if not paths:
        raise FileNotFoundError(
            f'There is no LabelMe file in {folder}; expected *.json: check the path.'
        )
    for path in paths:
        content = read_json(path, 'LabelMe file')
        try:
            size = int(content['imageHeight']), int(content['imageWidth'])
            shapes = list(content['shapes'])
            # LabelMe on Windows writes backslashes.
            stem = PureWindowsPath(content['imagePath']).stem
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path} lacks something ({type(error).__name__}: {error}); expected '
                'imagePath, imageHeight, imageWidth and shapes of LabelMe: save it '
                'there again.'
            ) from error
        name = (path.relative_to(folder).parent / stem).as_posix()
        draw = partial(_labelme_layers, shapes, size, path, line_width)
        yield name, size, draw


def _labelme_layers(
    shapes: list[Mapping[str, Any]],
    size: tuple[int, int],
    path: Path,
    line_width: int | None,
) -> Layers:
    layers = []
    for number, shape in enumerate(shapes, 1):
        where = f'{path}: shape {number}'
        try:
            label = str(shape['label'])
            kind = shape.get('shape_type') or 'polygon'
            points = np.asarray(shape['points'], np.float64).reshape(-1, 2)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{where} lacks a label or points ({type(error).__name__}: {error}); '
                'expected both: correct it in LabelMe.'
            ) from error
        canvas = np.zeros(size, np.uint8)
        _draw_shape(canvas, kind, points, shape, where, line_width)
        if not canvas.any():
            raise ValueError(
                f'{where}, {label!r}, covers no pixel of its image of '
                f'{size[1]}x{size[0]}; expected some: correct or remove it in LabelMe.'
            )
        layers.append((label, canvas > 0))
    return layers


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
            f'{where} is a {kind} of {len(points)} points; expected one of '
            f'{", ".join(SHAPES)} with all its points: correct it in LabelMe.'
        )
    if kind == 'polygon':
        cv2.fillPoly(canvas, [_pixels(points)], 1)
    elif kind == 'rectangle':
        first, last = _pixels(points.min(0)), _pixels(points.max(0))
        cv2.rectangle(canvas, first.tolist(), last.tolist(), 1, -1)
    elif kind == 'circle':
        radius = float(np.hypot(*(points[1] - points[0])))
        rows, columns = np.mgrid[: canvas.shape[0], : canvas.shape[1]] + 0.5
        away = np.hypot(columns - points[0, 0], rows - points[0, 1])
        canvas[away <= radius] = 1
    elif kind == 'mask':
        _paste(canvas, points[0], shape, where)
    elif line_width is None:
        raise ValueError(
            f'{where} is a {kind}, which has no area; expected a width in pixels: give '
            '--line-width, or draw a polygon.'
        )
    else:
        cv2.polylines(canvas, [_pixels(points)], False, 1, line_width)


def _pixels(points: np.ndarray) -> np.ndarray:
    """The pixels that points lie in; OpenCV counts them from their middle."""
    return np.floor(points).astype(np.int32)


def _paste(
    canvas: np.ndarray, corner: np.ndarray, shape: Mapping[str, Any], where: str
) -> None:
    """LabelMe's masks are a PNG in base64, and the corner of their box."""
    try:
        data = base64.b64decode(shape['mask'])
        part = np.asarray(Image.open(io.BytesIO(data)).convert('L')) > 0
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(
            f'{where} is a mask that cannot be read ({type(error).__name__}); expected '
            'a PNG in base64: draw it again in LabelMe.'
        ) from error
    x, y = np.rint(corner).astype(int).tolist()
    inside = canvas[y : y + part.shape[0], x : x + part.shape[1]]
    if min(x, y) < 0 or inside.shape != part.shape:
        raise ValueError(
            f'{where} is a mask that reaches out of its image; expected it inside: '
            'draw it again in LabelMe.'
        )
    inside[part] = 1


# ---------------------------------------------------------------------------- COCO


def coco_images(path: Path) -> tuple[list[Drawable], list[str]]:
    """Images of a COCO file, also those without annotations, and its classes by id.

    Raises:
        FileNotFoundError: If the file is not there.
        ImportError: If pycocotools is not installed.
        ValueError: If something is missing in it.
    """
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'Masks of COCO need pycocotools, which is not installed: pip install '
            'pycocotools (or the extra coco of mmdefect).'
        ) from error
    content = read_json(path, 'COCO file')
    try:
        categories = sorted(content['categories'], key=lambda one: one['id'])
        names = {one['id']: str(one['name']) for one in categories}
        own = defaultdict(list)
        for annotation in content['annotations']:
            names[annotation['category_id']]
            own[annotation['image_id']].append(annotation)
        images: list[Drawable] = []
        for image in content['images']:
            size = int(image['height']), int(image['width'])
            name = _name_in_folder(image['file_name'])
            mine = own.pop(image['id'], [])
            images.append((name, size, partial(_coco_layers, mine, names, size)))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} lacks something ({type(error).__name__}: {error}); expected '
            'images, categories and annotations that belong together, as COCO has '
            'them: export it again.'
        ) from error
    if own:
        raise ValueError(
            f'{path} has annotations of image ids that it does not list '
            f'({", ".join(map(str, list(own)[:5]))}); expected none: export it again.'
        )
    return images, list(names.values())


def _name_in_folder(file_name: str) -> str:
    """Name of a mask: as the image, without suffix, and nowhere but in the folder."""
    # Exports of Windows have backslashes.
    path = PureWindowsPath(file_name)
    if path.anchor or '..' in path.parts or not path.stem:
        raise ValueError(
            f'file_name is {file_name!r}, and a path within the folder of images was '
            'expected'
        )
    return path.with_suffix('').as_posix()


def _coco_layers(
    annotations: list[Mapping[str, Any]],
    names: Mapping[int, str],
    size: tuple[int, int],
) -> Layers:
    from pycocotools import mask as coco_mask

    layers = []
    for annotation in annotations:
        shape = annotation.get('segmentation')
        try:
            if isinstance(shape, list) and shape:
                rle = coco_mask.merge(coco_mask.frPyObjects(shape, *size))
            elif isinstance(shape, dict) and isinstance(shape['counts'], list):
                rle = coco_mask.frPyObjects(shape, *size)
            elif isinstance(shape, dict):
                rle = shape
            else:
                raise TypeError('no segmentation')
            pixels = coco_mask.decode(rle) > 0
        except Exception as error:  # whatever its C code raises
            raise ValueError(
                f'The annotation {annotation.get("id")} cannot be drawn '
                f'({type(error).__name__}: {error}); expected polygons or RLE: correct '
                'it, or remove it.'
            ) from error
        if pixels.shape != size:
            raise ValueError(
                f'The annotation {annotation.get("id")} is {pixels.shape[1]}x'
                f'{pixels.shape[0]} and its image {size[1]}x{size[0]}; expected equal '
                'sizes: export it again.'
            )
        layers.append((names[annotation['category_id']], pixels))
    return layers
