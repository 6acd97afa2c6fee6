"""Build a COCO file from plain records, check any, and say what was found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdefect.datasets.class_split import check_known, class_names
from mmdefect.utils.files import write_text

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


@dataclass(frozen=True)
class ImageRecord:
    """One image and its boxes, as read from the files of a data set.

    Args:
        file_name: Path relative to the root of the data set, with slashes.
        width: In pixels.
        height: In pixels.
        objects: Class name and box of every object.
    """

    file_name: str
    width: int
    height: int
    objects: list[tuple[str, Box]] = field(default_factory=list)


@dataclass
class Report:
    """What a conversion or check found; ``str()`` gives the verification summary.

    Findings (lists of sentences or file names) are tolerated; ``errors`` are not, and
    make a tool exit with 1.

    Args:
        title: What was checked, e.g. ``'train'``.
        images: Number of images.
        boxes: Class -> number of boxes kept, in class order.
        empty: Images without boxes.
        degenerate: Boxes without area.
        out_of_frame: Boxes that reach out of their image.
        duplicates: Boxes that occur twice, exactly, in one image.
        missing: Files that are named but not there.
        notes: Anything else worth knowing.
        errors: Why the result must not be used.
    """

    title: str
    images: int = 0
    boxes: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    degenerate: list[str] = field(default_factory=list)
    out_of_frame: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        boxes = ', '.join(f'{name} {count}' for name, count in self.boxes.items())
        lines = [
            f'{self.title}: {self.images} images, {sum(self.boxes.values())} boxes'
            + (f' ({boxes})' if boxes else '')
        ]
        findings = {
            'images without boxes': self.empty,
            'degenerate boxes': self.degenerate,
            'out-of-frame boxes': self.out_of_frame,
            'duplicate boxes': self.duplicates,
            'missing files': self.missing,
        }
        lines += [f'  {what}: {name_some(items)}' for what, items in findings.items()]
        lines += [f'  note: {note}' for note in self.notes]
        lines += [f'  ERROR: {error}' for error in self.errors]
        return '\n'.join(lines)


def name_some(items: Sequence[str], limit: int = 5) -> str:
    """Count the items and name the first few, e.g. ``'2: a.jpg, b.jpg'``."""
    if not items:
        return '0'
    more = f' and {len(items) - limit} more' if len(items) > limit else ''
    return f'{len(items)}: {", ".join(items[:limit])}{more}'


def clip_box(box: Box, *, width: float, height: float) -> Box:
    """Clip a box to its image; it has no area when it lies outside."""
    x1, y1, x2, y2 = box
    x1, x2 = (min(max(x, 0), width) for x in (x1, x2))
    y1, y2 = (min(max(y, 0), height) for y in (y1, y2))
    return x1, y1, x2, y2


def has_area(box: Box) -> bool:
    """Say whether a box is at least one pixel wide and high, as mmdet wants it."""
    return box[2] - box[0] >= 1 and box[3] - box[1] >= 1


def build_coco(
    records: Sequence[ImageRecord], classes: Sequence[str], *, title: str
) -> tuple[dict[str, Any], Report]:
    """Turn records into a COCO dictionary with all categories, ids from 1.

    Exact duplicates and boxes without area are dropped, boxes that reach out of the
    frame are clipped, and each is named in the report. Width is x2 - x1.

    Args:
        records: Images in the order of the file to write.
        classes: Class names in global order.
        title: Name of the split, for the report.

    Returns:
        The dictionary and the report; unknown classes are errors of the report.
    """
    report = Report(title, images=len(records), boxes=dict.fromkeys(classes, 0))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, record in enumerate(records, 1):
        images.append(
            {
                'id': image_id,
                'file_name': record.file_name,
                'width': record.width,
                'height': record.height,
            }
        )
        for name, box in _clean_objects(record, classes, report):
            annotations.append(
                _annotation(len(annotations) + 1, image_id, classes.index(name), box)
            )
            report.boxes[name] += 1
    coco = {
        'info': {'description': title, 'version': '1.0'},
        'licenses': [],
        'categories': coco_categories(classes),
        'images': images,
        'annotations': annotations,
    }
    return coco, report


def _clean_objects(
    record: ImageRecord, classes: Sequence[str], report: Report
) -> list[tuple[str, Box]]:
    kept: list[tuple[str, Box]] = []
    if not record.objects:
        report.empty.append(record.file_name)
    for name, box in record.objects:
        where = f'{record.file_name} {name} {list(box)}'
        try:
            check_known([name], classes, what=record.file_name)
        except ValueError as error:
            report.errors.append(str(error))
            continue
        clipped = clip_box(box, width=record.width, height=record.height)
        if not has_area(clipped):
            report.degenerate.append(where)
        elif (name, clipped) in kept:
            report.duplicates.append(where)
        else:
            if clipped != box:
                report.out_of_frame.append(where)
            kept.append((name, clipped))
    return kept


def _annotation(number: int, image_id: int, label: int, box: Box) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    return {
        'id': number,
        'image_id': image_id,
        'category_id': label + 1,
        'bbox': [x1, y1, width, height],
        'area': width * height,
        'iscrowd': 0,
    }


def coco_categories(classes: Sequence[str]) -> list[dict[str, Any]]:
    """Categories with ids from 1, in class order."""
    return [
        {'id': i, 'name': name, 'supercategory': 'defect'}
        for i, name in enumerate(classes, 1)
    ]


def check_coco(
    coco: Mapping[str, Any], *, title: str, root: Path | None = None
) -> Report:
    """Check any instances file without changing it.

    Args:
        coco: The dictionary.
        title: What is checked, for the report.
        root: Folder the file names are relative to; None to skip looking for files.

    Returns:
        The report; duplicate ids, dangling references and missing files are errors.
    """
    report = Report(title)
    images = {image['id']: image for image in coco['images']}
    names = {category['id']: category['name'] for category in coco['categories']}
    report.images = len(coco['images'])
    report.boxes = dict.fromkeys(class_names(dict(coco)), 0)
    report.errors += duplicate_id_errors(coco)

    seen: set[tuple[Any, ...]] = set()
    filled = set()
    for annotation in coco['annotations']:
        image = images.get(annotation['image_id'])
        name = names.get(annotation['category_id'])
        if image is None or name is None:
            report.errors.append(
                f'Annotation {annotation["id"]} names image {annotation["image_id"]} '
                f'and category {annotation["category_id"]}; expected ids of the file.'
            )
            continue
        filled.add(image['id'])
        report.boxes[name] += 1
        _check_box(annotation, image, name, seen, report)
    report.empty = [i['file_name'] for i in images.values() if i['id'] not in filled]
    if root is not None:
        _check_files(images.values(), root, report)
    return report


def _check_box(
    annotation: dict[str, Any],
    image: dict[str, Any],
    name: str,
    seen: set[tuple[Any, ...]],
    report: Report,
) -> None:
    x, y, w, h = annotation['bbox']
    box = (x, y, x + w, y + h)
    where = f'{image["file_name"]} {name} {list(box)}'
    clipped = clip_box(box, width=image['width'], height=image['height'])
    # Half a pixel of rounding is no finding: COCO's own boxes have it.
    beyond = max(abs(a - b) for a, b in zip(box, clipped, strict=True))
    if not has_area(clipped):
        report.degenerate.append(where)
    elif beyond > 0.5:
        report.out_of_frame.append(where)
    key = (image['id'], name, *box)
    if key in seen:
        report.duplicates.append(where)
    seen.add(key)


def _check_files(images: Any, root: Path, report: Report) -> None:
    names = [image['file_name'] for image in images]
    report.missing = [name for name in names if not (root / name).is_file()]
    if report.missing:
        report.errors.append(
            f'{len(report.missing)} of {len(names)} image files are not under {root}; '
            'expected all of them: check the folder.'
        )


def duplicate_id_errors(coco: Mapping[str, Any]) -> list[str]:
    """One sentence for each kind of id (image, annotation, category) used twice."""
    errors = []
    for kind in ('images', 'annotations', 'categories'):
        counts = Counter(item['id'] for item in coco[kind])
        twice = [str(key) for key, count in counts.items() if count > 1]
        if twice:
            cure = 'number them again'
            if kind == 'annotations':
                cure += ' with tools/dataset_converters/coco.py --renumber'
            errors.append(
                f'The file uses ids of {kind} twice ({name_some(twice)}); expected '
                f'every id once: {cure}.'
            )
    return errors


def renumber_annotations(coco: dict[str, Any]) -> dict[str, Any]:
    """Give the annotations new ids from 1, in their order."""
    annotations = [{**a, 'id': i} for i, a in enumerate(coco['annotations'], 1)]
    return {**coco, 'annotations': annotations}


def reorder_classes(coco: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Rewrite a file with categories in the given order and ids from 1.

    Args:
        coco: Any instances file.
        classes: All its classes, in the order wanted.

    Returns:
        A new dictionary with ``info``, ``licenses``, ``area`` and ``iscrowd``.

    Raises:
        ValueError: If ``classes`` are not exactly the classes of the file.
    """
    known = class_names(coco)
    check_known(classes, known, what='The class order')
    if left := [name for name in known if name not in classes]:
        raise ValueError(
            f'The class order leaves out {", ".join(left)}; expected all classes of '
            'the file: add them, a step selects its own classes at load time.'
        )
    new_id = {name: i for i, name in enumerate(classes, 1)}
    names = {category['id']: category['name'] for category in coco['categories']}
    annotations = [
        {
            'iscrowd': 0,
            'area': annotation['bbox'][2] * annotation['bbox'][3],
            **annotation,
            'category_id': new_id[names[annotation['category_id']]],
        }
        for annotation in coco['annotations']
    ]
    old = {category['name']: category for category in coco['categories']}
    return {
        'info': coco.get('info') or {'description': 'rewritten', 'version': '1.0'},
        'licenses': coco.get('licenses') or [],
        'categories': [{**old[name], 'id': new_id[name]} for name in classes],
        'images': coco['images'],
        'annotations': annotations,
    }


def load_coco(path: Path) -> dict[str, Any]:
    """Read a COCO instances file.

    Raises:
        FileNotFoundError: If the file is not there.
        ValueError: If it is no JSON object with images, annotations and categories.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no annotation file {path}; expected a COCO instances JSON: run '
            'the converter of the data set (tools/dataset_converters).'
        )
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except json.JSONDecodeError as error:
        raise ValueError(
            f'{path} is no JSON ({error}); expected a COCO instances file: '
            'convert the data set again.'
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{path} holds a {type(content).__name__}; expected a COCO instances '
            'object: convert the data set again.'
        )
    sections = ('images', 'annotations', 'categories')
    if absent := [name for name in sections if name not in content]:
        raise ValueError(
            f'{path} has no {", ".join(map(repr, absent))}; expected a COCO instances '
            'file: convert the data set again.'
        )
    return content


def save_json(content: Mapping[str, Any], path: Path) -> None:
    """Write JSON, creating the folder."""
    write_text(path, json.dumps(content, separators=(',', ':')))
