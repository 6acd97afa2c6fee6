"""Build a COCO file from plain records, check any, and say what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdefect.datasets.boxes.class_split import class_names
from mmdefect.datasets.boxes.coco_file import Box, clip_box, has_area
from mmdefect.utils.checks import check_known, name_some


@dataclass(frozen=True)
class ImageRecord:
    """One image, its size in pixels and its boxes, as read from the files of a dataset.

    The file name is relative to the root of the dataset, with slashes.
    """

    file_name: str
    width: int
    height: int
    objects: list[tuple[str, Box]] = field(default_factory=list)

    @property
    def has_box(self) -> bool:
        """Whether any of its boxes has an area within the image."""
        return any(
            has_area(clip_box(box, width=self.width, height=self.height))
            for _, box in self.objects
        )


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


def build_coco(
    records: Sequence[ImageRecord], classes: Sequence[str], *, title: str
) -> tuple[dict[str, Any], Report]:
    """Turn records into a COCO dictionary with all categories, and its report.

    Exact duplicates and boxes without area are dropped, boxes that reach out of the
    frame are clipped, and each is named in the report; unknown classes are errors
    there. An image of which all boxes were dropped is left out and named, as it is no
    good one. Ids start at 1, width is x2 - x1.
    """
    report = Report(title, boxes=dict.fromkeys(classes, 0))
    if lost := [r.file_name for r in records if r.objects and not r.has_box]:
        report.notes.append(lost_note(lost))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for record in records:
        boxes = _clean_objects(record, classes, report)
        if record.objects and not record.has_box:
            continue
        image_id = len(images) + 1
        images.append(
            {
                'id': image_id,
                **{
                    key: getattr(record, key)
                    for key in ('file_name', 'width', 'height')
                },
            }
        )
        for name, box in boxes:
            annotations.append(
                _annotation(len(annotations) + 1, image_id, classes.index(name), box)
            )
            report.boxes[name] += 1
    report.images = len(images)
    coco = {
        'info': {'description': title, 'version': '1.0'},
        'licenses': [],
        'categories': [
            {'id': i, 'name': name, 'supercategory': 'defect'}
            for i, name in enumerate(classes, 1)
        ],
        'images': images,
        'annotations': annotations,
    }
    return coco, report


def lost_note(names: Sequence[str]) -> str:
    """What is said of images that are marked and have no box."""
    return (
        'images left out, as what is marked on them is no box with an area, and good '
        f'ones they are not: {name_some(names)}'
    )


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


def check_coco(
    coco: Mapping[str, Any], *, title: str, root: Path | None = None
) -> Report:
    """Look for what is odd in a file, without changing it; missing files are errors.

    Args:
        coco: What :func:`~mmdefect.datasets.boxes.coco_file.read_coco` returns; what
            cannot be used was refused there.
        title: What is checked, for the report.
        root: Folder the file names are relative to; None to skip looking for files.
    """
    report = Report(title)
    images = {image['id']: image for image in coco['images']}
    names = {category['id']: category['name'] for category in coco['categories']}
    report.images = len(coco['images'])
    report.boxes = dict.fromkeys(class_names(dict(coco)), 0)

    seen: set[tuple[Any, ...]] = set()
    filled = set()
    crowds = 0
    for annotation in coco['annotations']:
        image = images[annotation['image_id']]
        name = names[annotation['category_id']]
        crowds += annotation['iscrowd']
        filled.add(image['id'])
        report.boxes[name] += 1
        _check_box(annotation, image, name, seen, report)
    if crowds:
        report.notes.append(
            f'{crowds} of {len(coco["annotations"])} boxes are marked iscrowd: nothing '
            'is learned from them, and detections on them are not counted.'
        )
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
            f'{len(report.missing)} of {len(names)} image files are not under {root}: '
            'expected all of them; check the folder'
        )


def reorder_classes(coco: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Rewrite what ``read_coco`` returned with categories in another order, ids from 1.

    Raises:
        ValueError: If ``classes`` are not exactly the classes of the file.
    """
    known = class_names(coco)
    check_known(classes, known, what='classes')
    if left := [name for name in known if name not in classes]:
        raise ValueError(
            f'--classes leaves out {", ".join(left)}: expected all classes of the '
            'file; a step selects its own when it is loaded'
        )
    new_id = {name: i for i, name in enumerate(classes, 1)}
    names = {category['id']: category['name'] for category in coco['categories']}
    annotations = [
        {**annotation, 'category_id': new_id[names[annotation['category_id']]]}
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
