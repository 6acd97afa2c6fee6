"""CVAT XML 1.1: one file for many images, or for the frames of a video."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from mmdefect.converters.annotated import (
    Found,
    Objects,
    class_name,
    coordinate,
    enclosing,
    read_each,
    turned_box,
)
from mmdefect.converters.image_folder import ImageFolder, subset_name
from mmdefect.converters.xml_file import number_in, read_xml
from mmdefect.datasets.boxes.coco_file import Box, image_size_of
from mmdefect.utils.checks import brief

WHAT = 'CVAT annotations (CVAT for images 1.1 or for video 1.1)'
MAX_BYTES = 300_000_000
WITHOUT_BOX = ('polyline', 'points', 'skeleton', 'cuboid', 'tag')
SHAPES = ('box', 'polygon', 'ellipse', 'mask', *WITHOUT_BOX)


def read_cvat(folder: ImageFolder, paths: Sequence[Path]) -> Found:
    """Read CVAT's files: boxes, outlines, ellipses and masks of images and tracks.

    Boxes that are turned become upright ones around them. The frames of a video are
    images such as ``frame_000012.png``, as CVAT writes them; those without any shape
    are not taken.

    Args:
        folder: The images.
        paths: The XML files.
    """
    found = Found()

    def read(path: Path, found: Found) -> None:
        root = read_xml(path, WHAT, max_bytes=MAX_BYTES)
        if root.tag != 'annotations':
            raise ValueError(
                f'{path} begins with <{root.tag[:80]}>: expected <annotations> of '
                f'{WHAT}; export it again'
            )
        labels = root.iterfind('meta//labels/label/name')
        found.declare(class_name(one.text, f'{path}: a label') for one in labels)
        for image in root.iterfind('image'):
            _read_image(image, path, folder, found)
        if root.find('track') is not None:
            _read_tracks(root, path, folder, found)

    read_each(paths, read, found)
    return found


def _read_image(image: Element, path: Path, folder: ImageFolder, found: Found) -> None:
    name = image.get('name') or ''
    where = f'{path}: image {brief(name)}'
    sides = {key: image.get(key) for key in ('width', 'height')}
    objects: Objects = []
    for shape in image:
        if shape.tag in WITHOUT_BOX:
            found.passed_over[shape.tag] += 1
            continue
        label = class_name(shape.get('label'), where)
        objects.append((label, _box(shape, where)))
    found.add(
        folder.find(name, path),
        name,
        path,
        objects,
        size=image_size_of(sides, where),
        subset=subset_name(image.get('subset') or ''),
        marked=len(image) > 0,
    )


def _box(shape: Element, where: str) -> Box:
    """Upright box around a shape of any kind that has an area."""
    if shape.tag not in SHAPES:
        raise ValueError(
            f'{where} has a shape <{shape.tag[:80]}>: expected one of '
            f'{", ".join(SHAPES)}; export CVAT for images 1.1'
        )
    if shape.tag == 'polygon':
        text = shape.get('points') or ''
        return enclosing([point.split(',') for point in text.split(';')], where)
    keys = {'ellipse': 'cx cy rx ry', 'mask': 'left top width height'}
    names = keys.get(shape.tag, 'xtl ytl xbr ybr').split()
    a, b, c, d = (coordinate(shape.get(key), where) for key in names)
    box = {
        'ellipse': (a - c, b - d, a + c, b + d),
        'mask': (a, b, a + c, b + d),
    }.get(shape.tag, (a, b, c, d))
    return turned_box(box, coordinate(shape.get('rotation', '0'), where))


def _read_tracks(root: Element, path: Path, folder: ImageFolder, found: Found) -> None:
    """Boxes of tracks, by frame; where one is outside of the picture there is none."""
    sides = {
        side: number_in(root, f'meta//original_size/{side}', path, WHAT)
        for side in ('width', 'height')
    }
    size = image_size_of(sides, str(path))
    frames: dict[int, Objects] = defaultdict(list)
    for track in root.iterfind('track'):
        label = class_name(track.get('label'), f'{path}: a track')
        for shape in track:
            where = f'{path}: track {brief(track.get("id"))}'
            if shape.get('outside') == '1':
                continue
            objects = frames[int(coordinate(shape.get('frame'), where))]
            if shape.tag in WITHOUT_BOX:
                found.passed_over[shape.tag] += 1
            else:
                objects.append((label, _box(shape, where)))
    for frame, objects in sorted(frames.items()):
        name = f'frame_{frame:06d}'
        image = folder.find_stem(name, path)
        found.add(image, name, path, objects, size=size, marked=True)
