"""What the files of an annotation tool say, before the images are looked at.

Own parsers and not a library's, after a look at three (November 2026). supervision
reads LabelMe, YOLO and VOC, neither CVAT nor Label Studio, and needs scipy, matplotlib
and av; datumaro reads CVAT, VOC, YOLO and the older LabelMe of XML files, not Label
Studio, pins NumPy, and brings pandas and pyarrow; pylabel reads VOC, YOLO and COCO, was
released last in 2023, and installs a second OpenCV. None of them reads all five, and
each either passes over what it does not know or ends at the first bad file without its
name. What is read here is a few fields of JSON, XML and text, by the readers and limits
of :mod:`mmdefect.utils.text_files`; XML goes through defusedxml.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdefect.datasets.boxes.coco_file import MAX_COORDINATE, Box
from mmdefect.utils.checks import brief, visible

MAX_POINTS = 100_000
"""Of one outline."""
Objects = list[tuple[str, Box]]


@dataclass(frozen=True)
class Annotated:
    """One image as its annotations describe it.

    Args:
        image: Its file relative to the folder of images, with slashes.
        source: File of its annotations, for messages.
        objects: Class and box (x1, y1, x2, y2) of each defect; none for a good image.
        size: Width and height in pixels, None if the annotations do not say.
        fractions: Whether boxes are fractions of width and height, not pixels.
        subset: ``'train'``, ``'val'`` or ``'test'`` if the annotations say so.
        marked: Whether anything is annotated, even without a box, such as a point: such
            an image is no good one.
    """

    image: str
    source: str
    objects: Objects
    size: tuple[int, int] | None = None
    fractions: bool = False
    subset: str = ''
    marked: bool = False


@dataclass
class Found:
    """All that was found in the files of one tool.

    Args:
        images: Every annotated image.
        classes: Names in the order that a file declares, empty if none does.
        missing: Annotated images that are not there.
        passed_over: What has no box, such as points, and how many of it there are.
        notes: Anything else worth knowing.
        errors: One sentence for each file that cannot be used.
    """

    images: list[Annotated] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(
        self,
        image: str | None,
        name: str,
        source: object,
        objects: Objects,
        **known: Any,
    ) -> None:
        """Take up an image, or note that it is missing.

        Args:
            image: What :meth:`.image_folder.ImageFolder.find` returned.
            name: As the annotation has it.
            source: File of the annotation.
            objects: See :class:`Annotated`.
            known: Its other arguments.
        """
        if image is None:
            self.missing.append(f'{name} ({source})')
        else:
            self.images.append(Annotated(image, str(source), objects, **known))

    def declare(self, classes: Iterable[str]) -> None:
        """Take up class names in the order of a file, those of other files behind."""
        for name in classes:
            if name not in self.classes:
                self.classes.append(name)


def read_each(
    paths: Sequence[Path], read: Callable[[Path, Found], None], found: Found
) -> None:
    """Read files one by one; what is wrong with one is an error and ends no other."""
    for path in paths:
        if error := _error_of(path, read, found):
            found.errors.append(error)


def _error_of(
    path: Path, read: Callable[[Path, Found], None], found: Found
) -> str | None:
    try:
        read(path, found)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def class_name(value: Any, where: str) -> str:
    """A class as annotations name it, without spaces around it.

    Raises:
        ValueError: If it is no text, or empty.
    """
    text = str(value).strip() if type(value) in (str, int) else ''
    try:
        text.encode()
    except UnicodeEncodeError:
        text = ''
    if not text or '\0' in text or len(text) > 200:
        raise ValueError(
            f'{where} has the class {brief(value)}: expected a name of up to 200 '
            'letters; name it in the annotation tool and export again'
        )
    return text


def coordinate(value: Any, where: str) -> float:
    """A finite number of pixels, given as number or text.

    Raises:
        ValueError: If it is none.
    """
    number = math.nan
    if type(value) in (int, float) or (isinstance(value, str) and len(value) < 100):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
    if not abs(number) <= MAX_COORDINATE:
        raise ValueError(
            f'{where} has {brief(value)} as a coordinate: expected a number of pixels '
            f'within {MAX_COORDINATE}; correct or remove the shape'
        )
    return number


def enclosing(points: Any, where: str, *, least: int = 3) -> Box:
    """Smallest upright box around points.

    Args:
        points: Pairs of numbers.
        where: The shape, for messages.
        least: How many there must be.

    Raises:
        ValueError: If they are no pairs of finite numbers, or too few or too many.
    """
    pairs = isinstance(points, list | tuple) and all(
        isinstance(point, list | tuple) and len(point) == 2 for point in points
    )
    if not pairs or not least <= len(points) <= MAX_POINTS:
        raise ValueError(
            f'{where} has {brief(points)} as points: expected {least} to {MAX_POINTS} '
            'pairs of numbers; correct or remove the shape'
        )
    xs, ys = ([coordinate(point[k], where) for point in points] for k in (0, 1))
    return min(xs), min(ys), max(xs), max(ys)


def turned_box(
    box: Box, degrees: float, about: tuple[float, float] | None = None
) -> Box:
    """Smallest upright box around a box that is turned clockwise.

    Args:
        box: Before it is turned.
        degrees: By how much.
        about: The point that stays; the middle of the box by default.
    """
    x1, y1, x2, y2 = box
    if not degrees:
        return box
    x0, y0 = about or ((x1 + x2) / 2, (y1 + y2) / 2)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x - x0, y - y0) for x in (x1, x2) for y in (y1, y2)]
    xs = [x0 + x * cos - y * sin for x, y in corners]
    ys = [y0 + x * sin + y * cos for x, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def shown(name: object) -> str:
    """A name of the files, safe to print."""
    return visible(str(name))
