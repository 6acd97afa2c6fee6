"""Masks of objects that are darker or brighter than what is around them.

First pass: threshold, closing, connected components; every component is written as the
first class, and listed in ``components.json``. There a person gives each its class, or
none (null). Second pass: the same thresholds, the classes of the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmdefect.converters.mask_output import Masks, number_classes
from mmdefect.datasets.images import detect_bits
from mmdefect.datasets.index_masks.pairs import find_files
from mmdefect.utils.checks import check_choice, check_range
from mmdefect.utils.images import read_bgr
from mmdefect.utils.text_files import read_json

METHODS = ('global', 'otsu', 'adaptive')
OBJECTS = ('dark', 'bright')


@dataclass(frozen=True)
class Threshold:
    """How objects are found.

    Args:
        method: ``'global'`` (one ``level``), ``'otsu'`` (a level for each image, Otsu
            1979) or ``'adaptive'`` (the Gaussian mean of a ``block``).
        objects: ``'dark'``: all channels at or below the level, as in FTL's labeler;
            ``'bright'``: all channels at or above it.
        level: For ``global``, in grey levels, 0 to 255.
        block: For ``adaptive``, side in pixels, odd, at least 3.
        offset: For ``adaptive``, how far beyond the mean, in grey levels.
        closing: Side of the square that closes gaps, in pixels; 0 or 1 for none. Larger
            holes of a component stay holes.
        min_area: Smallest component, in pixels.

    Raises:
        ValueError: If an argument is out of range.
    """

    method: str = 'otsu'
    objects: str = 'dark'
    level: int = 120
    block: int = 51
    offset: float = 10.0
    closing: int = 3
    min_area: int = 20

    def __post_init__(self) -> None:
        check_choice('method', self.method, METHODS)
        check_choice('objects', self.objects, OBJECTS)
        check_range('level', self.level, 0, 255)
        check_range('closing', self.closing, 0)
        check_range('min_area', self.min_area, 1)
        if self.block < 3 or not self.block % 2:
            raise ValueError(f'block={self.block}: expected an odd number from 3 on')


def find_objects(image: np.ndarray, how: Threshold) -> np.ndarray:
    """Number the connected components of a BGR image, uint8; corners connect.

    Returns:
        int32, shape (H, W): 0 is background, components count from 1, from the top.
    """
    dark = how.objects == 'dark'
    # All channels at or below the level: so is the largest. Bright ones likewise.
    grey = image.max(axis=2) if dark else 255 - image.min(axis=2)
    if how.method == 'adaptive':
        kind = cv2.ADAPTIVE_THRESH_GAUSSIAN_C
        inverse = cv2.THRESH_BINARY_INV
        # cv2 has "above the mean minus C", so its inverse is "at or below".
        found = cv2.adaptiveThreshold(grey, 1, kind, inverse, how.block, how.offset)
    else:
        flags = cv2.THRESH_BINARY_INV
        level = how.level if dark else 255 - how.level
        if how.method == 'otsu':
            flags |= cv2.THRESH_OTSU
        _, found = cv2.threshold(grey, level, 1, flags)
    if how.closing > 1:
        square = np.ones((how.closing, how.closing), np.uint8)
        found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, square)
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(found, connectivity=8)
    keep = stats[:, cv2.CC_STAT_AREA] >= how.min_area
    keep[0] = False
    renumber = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return renumber[numbers]


def describe(numbers: np.ndarray, label: str) -> list[dict[str, Any]]:
    """List components of one class for review, as ``components.json`` does.

    Boxes are x, y, width and height in pixels, areas pixels.
    """
    rows, columns = np.nonzero(numbers)
    own = numbers[rows, columns]
    areas = np.bincount(own, minlength=1)
    points = np.stack([columns, rows], axis=1)
    low = np.full((len(areas), 2), max(numbers.shape))
    high = np.zeros((len(areas), 2), int)
    np.minimum.at(low, own, points)
    np.maximum.at(high, own, points)
    boxes = np.concatenate([low, high - low + 1], axis=1)
    return [
        {'id': i, 'bbox': boxes[i].tolist(), 'area': int(areas[i]), 'class': label}
        for i in range(1, len(areas))
    ]


def read_images(
    folder: Path, *, exif: str | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Give names and pixels (BGR, uint8) of all images below a folder."""
    files = find_files(folder, 'image')
    bits = detect_bits(files.values(), name=str(folder))
    for name, path in files.items():
        yield name, read_bgr(path, exif=exif, bits=bits)


def first_pass(
    folder: Path, how: Threshold, classes: Sequence[str], *, exif: str | None = None
) -> tuple[Masks, dict[str, Any]]:
    """Find objects in all images below a folder, as the first class.

    Returns:
        The masks, and what ``components.json`` will hold.
    """
    masks = Masks(number_classes(classes))
    images = {}
    for name, image in read_images(folder, exif=exif):
        numbers = find_objects(image, how)
        masks.add(name, (numbers > 0).astype(np.uint8))
        images[name] = describe(numbers, classes[0])
    review = {'classes': list(classes), 'threshold': asdict(how), 'images': images}
    return masks, review


def second_pass(
    folder: Path, path: Path, *, exif: str | None = None
) -> tuple[Masks, dict[str, Any], Counter[str]]:
    """Find the same objects again, with the classes of an edited ``components.json``.

    A component whose class is null, or that was taken out of the list, is dropped.

    Returns:
        The masks, the list as read, and components by class, ``'dropped'`` included.

    Raises:
        ValueError: If the list cannot be understood, names unknown classes, images or
            components, or the images give other components than it says.
    """
    review = read_json(path, 'list of components')
    try:
        masks = Masks(number_classes([str(name) for name in review['classes']]))
        how = Threshold(**review['threshold'])
        listed = {str(k): list(v) for k, v in review['images'].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} lacks something ({type(error).__name__}: {error}): expected what '
            'the first pass wrote; start again from its file'
        ) from error
    files = find_files(folder, 'image')
    if differ := sorted(files.keys() ^ listed.keys()):
        raise ValueError(
            f'{path} and {folder} do not name the same images (first {differ[0]}, '
            f'{len(differ)} in all): expected the same, without objects an empty '
            'list; restore it, or run the first pass again'
        )
    counts: Counter[str] = Counter()
    for name, image in read_images(folder, exif=exif):
        numbers = find_objects(image, how)
        ids = _ids(listed[name], describe(numbers, ''), masks, f'{path}, image {name}')
        counts.update(_name(number, masks) for number in ids[1:].tolist())
        masks.add(name, ids[numbers])
    return masks, review, counts


def _name(number: int, masks: Masks) -> str:
    return list(masks.classes)[number - 1] if number else 'dropped'


def _ids(
    entries: Sequence[Any], found: Sequence[Mapping[str, Any]], masks: Masks, where: str
) -> np.ndarray:
    """Class id of each component: uint8, shape (components + 1,), the first is 0."""
    ids = np.zeros(len(found) + 1, np.uint8)
    seen = set()
    for entry in entries:
        try:
            number, label = entry['id'], entry['class']
            same = {key: entry[key] for key in ('bbox', 'area')}
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{where} has an entry without {error}: expected id, bbox, area and '
                'class; start again from the file of the first pass'
            ) from error
        known = type(number) is int and 0 < number <= len(found) and number not in seen
        if not known or any(found[number - 1][key] != same[key] for key in same):
            raise ValueError(
                f'{where}: component {number} is not what the image gives (or there '
                'twice): expected id, bbox and area of the first pass; edit the class '
                'only, or run the first pass again'
            )
        if label is not None and str(label) not in masks.classes:
            raise ValueError(
                f'{where}: component {number} has the class {label!r}: expected '
                f'{", ".join(masks.classes)}, or null to drop it; add it to '
                '"classes", or correct it'
            )
        seen.add(number)
        ids[number] = masks.classes[str(label)] if label is not None else 0
    return ids


def draw_review(
    image: np.ndarray, components: Sequence[Mapping[str, Any]]
) -> np.ndarray:
    """Draw boxes and numbers of components on a copy of a BGR image, for review."""
    drawn = image.copy()
    for component in components:
        x, y, width, height = component['bbox']
        cv2.rectangle(drawn, (x, y), (x + width - 1, y + height - 1), (0, 0, 255), 1)
        place = (x, y - 2 if y > 12 else y + height + 10)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(drawn, str(component['id']), place, font, 0.4, (0, 0, 255), 1)
    return drawn
