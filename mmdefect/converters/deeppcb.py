"""DeepPCB (Tang et al., arXiv:1902.06197): text annotations to COCO JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdefect.converters.coco import ImageRecord, Report, build_coco
from mmdefect.converters.output import differing_totals
from mmdefect.converters.voc import image_size
from mmdefect.datasets.boxes.classes import DEEPPCB_CLASSES
from mmdefect.datasets.boxes.coco_file import MAX_COORDINATE
from mmdefect.datasets.same_images import same_images
from mmdefect.utils.checks import name_some, repeated
from mmdefect.utils.text_files import inner_path, read_text_file

REAL_TOTALS: dict[str, tuple[int, ...]] = {
    'train': (1000, 1283, 1028, 1379, 1142, 1010, 1031),
    'test': (500, 659, 478, 586, 483, 464, 470),
}
"""Images, and boxes of each class, of the published set."""

LISTS = {'train': 'trainval.txt', 'test': 'test.txt'}
"""The official lists below ``PCBData``."""

MAX_LIST_BYTES = 1_000_000
"""Of the boxes of one image, which are a few lines."""

Converted = dict[str, tuple[dict[str, Any], Report]]


def read_annotation(path: Path) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Read class names and boxes from a text file of lines ``x1 y1 x2 y2 type``.

    Raises:
        ValueError: If it is no text, a line is not five integers, or the type is none
            of 1 to 6.
    """
    objects = []
    text = read_text_file(path, 'file of annotations', max_bytes=MAX_LIST_BYTES)
    for number, line in enumerate(text.split('\n'), 1):
        if not line.strip():
            continue
        try:
            x1, y1, x2, y2, kind = (int(text) for text in line.split())
            if max(map(abs, (x1, y1, x2, y2))) > MAX_COORDINATE:
                raise ValueError('too large')
        except ValueError as error:
            raise ValueError(
                f'{path} line {number} is {line[:80]!r}: expected five integers "x1 '
                'y1 x2 y2 type"; correct the line'
            ) from error
        if not 1 <= kind <= len(DEEPPCB_CLASSES):
            raise ValueError(
                f'{path} line {number} has the unknown class {kind}: expected a type '
                f'from 1 to {len(DEEPPCB_CLASSES)} ({", ".join(DEEPPCB_CLASSES)})'
            )
        objects.append((DEEPPCB_CLASSES[kind - 1], (x1, y1, x2, y2)))
    return objects


def read_split(
    root: Path, name: str, *, exif: str | None = None
) -> tuple[list[ImageRecord], list[str], list[str]]:
    """Read the images of an official list, ``'train'`` or ``'test'``.

    The lists name ``group/x/x000.jpg``; the image with defects is ``x000_test.jpg``.

    Returns:
        Records in the order of the list, missing files, and one sentence an error.
    """
    base = root / 'PCBData'
    path = base / LISTS[name]
    if not path.is_file():
        raise FileNotFoundError(
            f'there is no list {path}: expected the official lists '
            f'{", ".join(LISTS.values())} in {base}; see data/README.md'
        )
    records, missing, errors = [], [], []
    for line in read_text_file(path, 'list').split('\n'):
        if not line.strip():
            continue
        if len(line.split()) != 2:
            errors.append(
                f'{path} holds the line {line[:80]!r}: expected an image and its '
                'annotation file, separated by a space'
            )
            continue
        try:
            listed, annotation = (inner_path(part, str(path)) for part in line.split())
        except ValueError as error:
            errors.append(str(error))
            continue
        image = base / listed.replace('.jpg', '_test.jpg')
        absent = [p for p in (image, base / annotation) if not p.is_file()]
        if absent:
            missing += [p.relative_to(root).as_posix() for p in absent]
            continue
        try:
            width, height = image_size(image, exif=exif)
            objects = read_annotation(base / annotation)
        except ValueError as error:
            errors.append(str(error))
            continue
        file_name = image.relative_to(root).as_posix()
        records.append(ImageRecord(file_name, width, height, [*objects]))
    return records, missing, errors


def convert_deeppcb(
    root: Path, *, expect_real: bool = False, exif: str | None = None
) -> Converted:
    """Read the official lists and build the COCO files of both splits.

    Returns:
        ``{'train': (coco, report), 'test': ...}``; with ``expect_real`` totals that
        differ from those of the real set are errors.
    """
    converted: Converted = {}
    listed: dict[str, set[str]] = {}
    for name in LISTS:
        records, missing, errors = read_split(root, name, exif=exif)
        coco, report = build_coco(records, DEEPPCB_CLASSES, title=name)
        report.missing += missing
        report.errors += errors
        if missing:
            report.errors.append(
                f'{len(missing)} listed files are not there ({name_some(missing)}): '
                'expected all of them; get the set again'
            )
        if expect_real:
            named = [f'{name} {what}' for what in ('images', *DEEPPCB_CLASSES)]
            counts = (len(coco['images']), *report.boxes.values())
            found, real = (
                dict(zip(named, n, strict=True)) for n in (counts, REAL_TOTALS[name])
            )
            report.errors += differing_totals(found, real, title='DeepPCB')
        converted[name] = (coco, report)
        names = [record.file_name for record in records]
        if twice := repeated(names):
            report.errors.append(
                f'{name} names images twice ({name_some(twice)}): expected each once; '
                'correct the list'
            )
        listed[name] = set(names)
    if both := sorted(listed['train'] & listed['test']):
        converted['train'][1].errors.append(
            f'both lists name {name_some(both)}: expected every image in one of them'
        )
    converted['test'][1].notes += same_images(
        *([root / name for name in sorted(listed[side])] for side in LISTS)
    )
    return converted
