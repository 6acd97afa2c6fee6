"""Label Studio: a JSON file of many tasks, with rectangles and outlines in percent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from mmdefect.converters.annotated import (
    Found,
    Objects,
    class_name,
    coordinate,
    enclosing,
    read_each,
    turned_box,
)
from mmdefect.converters.image_folder import ImageFolder
from mmdefect.datasets.boxes.coco_file import Box, image_size_of
from mmdefect.utils.checks import brief
from mmdefect.utils.image_header import SUFFIXES
from mmdefect.utils.text_files import read_json

SIZE = ('original_width', 'original_height')
# Kinds of results that have an area; their names stand below the same word.
LABELS = ('rectanglelabels', 'polygonlabels', 'ellipselabels')
# What Label Studio writes before the name of an uploaded file.
_UPLOADED = re.compile(r'^[0-9a-f]{6,8}-')


def read_label_studio(folder: ImageFolder, paths: Sequence[Path]) -> Found:
    """Read exports of the kind JSON; of the kinds of regions those with an area count.

    Uploaded images are looked for by their own names, without what Label Studio puts
    before them. A task that nobody has annotated is left out; one whose annotation is
    empty is a good image.

    Args:
        folder: The images.
        paths: The JSON files.
    """
    found = Found()

    def read(path: Path, found: Found) -> None:
        tasks = read_json(path, 'Label Studio export', None)
        if not isinstance(tasks, list):
            tasks = [tasks]
        for number, task in enumerate(tasks, 1):
            where = f'{path}: task {number}'
            if not isinstance(task, dict) or not isinstance(task.get('data'), dict):
                raise ValueError(
                    f'{where} has no data: expected a task of Label Studio; export '
                    'the project as JSON (not JSON-MIN)'
                )
            _read_task(task, where, path, folder, found)

    read_each(paths, read, found)
    return found


def _read_task(
    task: Mapping[str, Any], where: str, path: Path, folder: ImageFolder, found: Found
) -> None:
    annotations = task.get('annotations', task.get('completions'))
    if not isinstance(annotations, list) or not all(
        isinstance(one, dict) for one in annotations
    ):
        raise ValueError(
            f'{where} has {brief(annotations)} as annotations: expected a list of '
            'objects; export the project as JSON'
        )
    made = [one for one in annotations if not one.get('was_cancelled')]
    if not made:
        return
    if len(made) > 1:
        found.notes.append(f'{where} has {len(made)} annotations: the last one counts')
    results = made[-1].get('result')
    if not isinstance(results, list):
        raise ValueError(
            f'{where} has {brief(results)} as result: expected a list of regions; '
            'export the project as JSON'
        )
    objects, size = _regions(results, where, found)
    name = _image_name(task, where)
    image = _find(name, path, folder)
    found.add(image, name, path, objects, size=size, marked=bool(results))


def _regions(
    results: Sequence[Any], where: str, found: Found
) -> tuple[Objects, tuple[int, int] | None]:
    """Boxes in pixels, and the size of the image that they are in."""
    objects: Objects = []
    size: tuple[int, int] | None = None
    for region in results:
        value = region.get('value') if isinstance(region, dict) else None
        if not isinstance(value, dict):
            raise ValueError(
                f'{where} has the region {brief(region)}: expected an object with a '
                'value; export the project as JSON'
            )
        kind = str(region.get('type'))
        if kind not in LABELS:
            found.passed_over[kind[:40]] += 1
            continue
        own = image_size_of(region, where, SIZE)
        if size not in (None, own):
            raise ValueError(
                f'{where} gives its image the sizes {size} and {own}: expected one; '
                'annotate the image again'
            )
        size = own
        names = value.get(kind)
        if not isinstance(names, list) or len(names) != 1:
            raise ValueError(
                f'{where} has a region with the labels {brief(names)}: expected one; '
                'give each region one label'
            )
        box = _box(value, kind, size, where)
        objects.append((class_name(names[0], where), box))
    return objects, size


def _box(value: Mapping[str, Any], kind: str, size: tuple[int, int], where: str) -> Box:
    """Box in pixels; a region is turned in pixels, not in percent."""

    def pixels(key: str, side: int) -> float:
        return coordinate(value.get(key), where) * size[side] / 100

    if kind == 'polygonlabels':
        x1, y1, x2, y2 = enclosing(value.get('points'), where)
        width, height = (side / 100 for side in size)
        return x1 * width, y1 * height, x2 * width, y2 * height
    x, y = pixels('x', 0), pixels('y', 1)
    rotation = value.get('rotation')
    turned = 0 if rotation is None else coordinate(rotation, where)
    if kind == 'ellipselabels':
        rx, ry = pixels('radiusX', 0), pixels('radiusY', 1)
        return turned_box((x - rx, y - ry, x + rx, y + ry), turned)
    width, height = pixels('width', 0), pixels('height', 1)
    return turned_box((x, y, x + width, y + height), turned, (x, y))


def _image_name(task: Mapping[str, Any], where: str) -> str:
    """Path of a task's image, of whatever kind the link to it is."""
    data = task['data']
    links = [data.get('image'), *data.values()]
    for link in links:
        if isinstance(link, str) and (name := _path_of(link)):
            return name
    if isinstance(task.get('file_upload'), str):
        return str(task['file_upload'])
    raise ValueError(
        f'{where} names no image in its data ({brief(data)}): expected a path or link '
        f'that ends in one of {", ".join(SUFFIXES)}; export the project as JSON'
    )


def _path_of(link: str) -> str:
    """The path in a link; ``''`` if it ends like no image."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return ''
    path = unquote(parts.path)
    if path.startswith('/data/local-files'):  # /data/local-files/?d=folder/a.png
        path = next(iter(parse_qs(parts.query).get('d', [])), '')
    elif parts.scheme or path.startswith('/data/'):  # of a server: no path of ours
        path = path.removeprefix('/data/upload/').lstrip('/')
    elif parts.query:  # a plain path may hold a question mark
        path = f'{path}?{parts.query}'
    return path if PurePosixPath(path).suffix.lower() in SUFFIXES else ''


def _find(name: str, path: Path, folder: ImageFolder) -> str | None:
    """An image by its path, else by the name that it had before it was uploaded."""
    image = folder.find(name, path)
    own = _UPLOADED.sub('', PurePosixPath(name.replace('\\', '/')).name)
    return image or folder.find(own, path)
