"""LabelMe: a JSON file an image, with rectangles and outlines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdefect.converters.annotated import (
    Found,
    Objects,
    class_name,
    coordinate,
    enclosing,
    read_each,
)
from mmdefect.converters.image_folder import ImageFolder
from mmdefect.datasets.boxes.coco_file import Box, image_size_of
from mmdefect.utils.checks import brief
from mmdefect.utils.text_files import read_json

SIZE = ('imageWidth', 'imageHeight')
# Kind of a shape -> the fewest points it has.
LEAST = {'rectangle': 2, 'polygon': 3, 'mask': 2, 'oriented_rectangle': 3}
WITHOUT_BOX = ('point', 'points', 'line', 'linestrip')


def read_content(path: Path) -> tuple[Mapping[str, Any], list[Any], str]:
    """All that a file holds, its shapes, and the path of its image.

    Raises:
        ValueError: If it is none of LabelMe.
    """
    content = read_json(path, 'LabelMe file')
    shapes, name = content.get('shapes'), content.get('imagePath')
    if not isinstance(shapes, list) or not isinstance(name, str):
        raise ValueError(
            f'{path} lacks imagePath or a list of shapes: expected a file of LabelMe; '
            'save it there again'
        )
    return content, shapes, name


def read_labelme(folder: ImageFolder, paths: Sequence[Path]) -> Found:
    """Read LabelMe's files; each names its image relative to its own folder.

    Rectangles, outlines, circles and masks become boxes; points and lines have none
    and are counted.

    Args:
        folder: The images.
        paths: The JSON files.
    """
    found = Found()

    def read(path: Path, found: Found) -> None:
        content, shapes, name = read_content(path)
        size = None
        if any(content.get(key) is not None for key in SIZE):
            size = image_size_of(content, str(path), SIZE)
        objects = _objects(shapes, path, found)
        image = folder.find(name, path)
        found.add(image, name, path, objects, size=size, marked=bool(shapes))

    read_each(paths, read, found)
    return found


def _objects(shapes: list[Any], path: Path, found: Found) -> Objects:
    objects: Objects = []
    for number, shape in enumerate(shapes, 1):
        where = f'{path}: shape {number}'
        if not isinstance(shape, dict):
            raise ValueError(
                f'{where} is {brief(shape)}: expected an object with label and points; '
                'save the file in LabelMe again'
            )
        name = class_name(shape.get('label'), where)
        kind = shape.get('shape_type') or 'polygon'
        if kind in WITHOUT_BOX:
            found.passed_over[kind] += 1
            continue
        objects.append((name, _box(kind, shape, where)))
    return objects


def _box(kind: Any, shape: Mapping[str, Any], where: str) -> Box:
    points: Any = shape.get('points')
    if kind == 'circle':
        enclosing(points, where, least=2)
        (x, y), (edge_x, edge_y) = (
            [coordinate(value, where) for value in point] for point in points[:2]
        )
        radius = math.hypot(edge_x - x, edge_y - y)
        return x - radius, y - radius, x + radius, y + radius
    if not isinstance(kind, str) or kind not in LEAST:
        raise ValueError(
            f'{where} has {brief(kind)} as shape_type: expected one of '
            f'{", ".join([*LEAST, "circle", *WITHOUT_BOX])}; draw it as a rectangle'
        )
    return enclosing(points, where, least=LEAST[kind])
