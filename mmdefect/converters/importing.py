"""From the annotations of any tool to COCO files: one check, one split, one summary."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmdefect.converters.annotated import Annotated, Found, shown
from mmdefect.converters.box_split import VAL_SHARE, draw_val, twins
from mmdefect.converters.coco import ImageRecord, Report, build_coco, lost_note
from mmdefect.converters.formats import (
    TITLES,
    choose_format,
    files_by_format,
    read_format,
)
from mmdefect.converters.image_folder import ImageFolder, subset_of
from mmdefect.converters.image_options import image_errors
from mmdefect.converters.voc import image_size
from mmdefect.datasets.boxes.coco_file import Box
from mmdefect.utils.checks import check_known, name_some

SUBSETS = ('train', 'val', 'test')
SAID = 5
"""How many files of one kind of error are named one by one."""
Converted = dict[str, tuple[dict[str, Any], Report]]


@dataclass
class Imported:
    """All annotated images of a folder, ready to be split.

    Args:
        format: Name of the format, such as ``'LabelMe'``.
        root: Folder that file names are relative to.
        classes: Names in label order.
        records: Every image with its boxes in pixels, save those that are marked and
            have none.
        subsets: File name -> ``'train'``, ``'val'`` or ``'test'``, of images whose
            annotations or folders say so.
        unlabelled: Images without annotations, which are not in ``records``.
        notes: Anything worth knowing.
        errors: Why the result must not be used.
    """

    format: str
    root: Path
    classes: list[str] = field(default_factory=list)
    records: list[ImageRecord] = field(default_factory=list)
    subsets: dict[str, str] = field(default_factory=dict)
    unlabelled: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def import_boxes(
    source: Path,
    *,
    images: Path | None = None,
    kind: str = 'auto',
    classes: Sequence[str] | None = None,
    take_unlabelled: bool = False,
    written: Path | None = None,
    exif: str | None = None,
    full: bool = False,
) -> Imported:
    """Read the annotations of a folder and look at the images.

    Args:
        source: Folder of annotations, or one file.
        images: Folder of images; by default that of the annotations.
        kind: One of :data:`.formats.TITLES`, or ``'auto'``.
        classes: All classes in the order wanted; by default the order of the files,
            or the alphabet if they have none.
        take_unlabelled: Whether images without annotations are good ones; by default
            they are left out and named.
        written: Folder that the result goes to; COCO files in it are no source.
        exif: See :func:`mmdefect.utils.images.is_turned`.
        full: Whether to decode every image, not only its header.

    Returns:
        What was found; ``errors`` says what must be put right first.

    Raises:
        FileNotFoundError: If there is no such folder, or it holds no annotations.
        ValueError: If it holds several formats and ``kind`` does not choose.
    """
    by_format = files_by_format(source, written=written)
    kind = choose_format(by_format, source, kind)
    folder = ImageFolder(images or (source if source.is_dir() else source.parent))
    found = read_format(kind, folder, source, by_format[kind], classes=classes)
    result = Imported(TITLES[kind], folder.root, errors=list(found.errors))
    result.errors = _first(result.errors)
    result.errors += _missing(found, folder) + _twice(found.images)
    result.errors += _class_errors(found, classes)
    result.classes = _order(found, classes, result)
    known = {one.image for one in found.images}
    result.unlabelled = [name for name in folder.names if name not in known]
    if take_unlabelled:
        good = [Annotated(name, 'no annotation', []) for name in result.unlabelled]
        found.images += good
        result.unlabelled = []
    result.notes += [*_notes(found, result), *folder.passed_over()]
    _add_records(found.images, result, exif=exif, full=full)
    if not any(record.objects for record in result.records) and not result.errors:
        result.errors.append(
            f'{source} holds no box: expected some to learn from; annotate '
            'defects, or learn what is good with mmdefect init maps'
        )
    return result


def _first(errors: Sequence[str]) -> list[str]:
    """The first few errors, and how many there are besides."""
    more = len(errors) - SAID
    rest = [f'{more} more files cannot be used'] if more > 0 else []
    return [*errors[:SAID], *rest]


def _missing(found: Found, folder: ImageFolder) -> list[str]:
    if not found.missing:
        return []
    return [
        f'annotated images that are not there ({name_some(found.missing)}): expected '
        f'all of them below {folder.root}, which holds {len(folder.names)} images; add '
        'them, or give their folder with --images'
    ]


def _twice(images: Iterable[Annotated]) -> list[str]:
    """Images that several files annotate: which of them is right nobody knows."""
    sources: dict[str, list[str]] = defaultdict(list)
    for one in images:
        sources[one.image].append(one.source)
    twice = [
        f'{name} ({" and ".join(sorted(set(own)))})'
        for name, own in sources.items()
        if len(own) > 1
    ]
    if not twice:
        return []
    return [
        f'images that are annotated more than once ({name_some(twice)}): expected once '
        'each; remove the other annotations'
    ]


def _class_errors(found: Found, classes: Sequence[str] | None) -> list[str]:
    """Names that differ in nothing that can be meant, and names that are unknown."""
    used = _used_in(found)
    alike: dict[str, list[str]] = defaultdict(list)
    for name in {**used, **dict.fromkeys(classes or (), '--classes')}:
        alike[unicodedata.normalize('NFKC', name).casefold()].append(name)
    errors = []
    for names in alike.values():
        if len(names) > 1:
            first, second = (
                f'{shown(name)!r} ({used.get(name, "--classes")})' for name in names[:2]
            )
            errors.append(
                f'the classes {first} and {second} differ in upper and lower case '
                'only: expected one spelling of a class; correct one of the files'
            )
    if errors or classes is None:
        return errors
    for name, source in used.items():
        if name not in classes:
            errors.append(
                f'{source} has boxes of {shown(name)!r}: expected one of '
                f'{", ".join(map(shown, classes))}; give all classes with --classes, '
                'or correct it'
            )
    return _first(errors)


def _used_in(found: Found) -> dict[str, str]:
    """Class -> the first file that has a box of it."""
    used: dict[str, str] = {}
    for one in found.images:
        for name, _ in one.objects:
            used.setdefault(name, one.source)
    return used


def _order(found: Found, classes: Sequence[str] | None, result: Imported) -> list[str]:
    """Classes in label order; names without a box are left out unless they are given.

    Raises:
        ValueError: If a given class is there twice.
    """
    used = _used_in(found)
    if classes is not None:
        check_known(classes, list(classes), what='--classes')
        return list(classes)
    if idle := [name for name in found.classes if name not in used]:
        result.notes.append(
            f'classes without a box ({name_some(idle)}) are left out; --classes keeps '
            'them'
        )
    return [n for n in found.classes if n in used] + sorted(
        set(used) - set(found.classes)
    )


def _notes(found: Found, result: Imported) -> list[str]:
    notes = list(found.notes[:SAID])
    if (more := len(found.notes) - SAID) > 0:
        notes.append(f'{more} more tasks like these')
    if found.passed_over:
        counts = ', '.join(f'{n} {kind}' for kind, n in found.passed_over.items())
        notes.append(f'passed over, as it has no box: {counts}')
    if result.unlabelled:
        notes.append(
            f'images without annotations, left out: {name_some(result.unlabelled)}; '
            '--take-unlabelled takes them as good ones'
        )
    return notes


def _add_records(
    images: Sequence[Annotated], result: Imported, *, exif: str | None, full: bool
) -> None:
    """Bring boxes to pixels, and compare sizes with the files."""
    errors, lost = [], []
    for one in sorted(images, key=lambda one: one.image):
        size = one.size
        if size is None:
            try:
                size = image_size(result.root / one.image, exif=exif)
            except ValueError as error:
                errors.append(str(error))
                continue
        scale = size if one.fractions else (1, 1)
        objects = [(name, _tidy(box, scale)) for name, box in one.objects]
        record = ImageRecord(one.image, *size, objects)
        if (objects or one.marked) and not record.has_box:
            lost.append(one.image)
            continue
        result.records.append(record)
        if subset := one.subset or subset_of(one.image):
            result.subsets[one.image] = subset
    result.errors += _first(errors)
    result.notes += [lost_note(lost)] if lost else []
    entries = [
        {'file_name': r.file_name, 'width': r.width, 'height': r.height}
        for r in result.records
    ]
    result.errors += image_errors(entries, result.root, exif=exif, full=full)


def _tidy(box: Box, scale: tuple[int, int]) -> Box:
    """Pixels to a hundredth, corners in order, whole numbers as such."""
    width, height = scale
    x1, x2 = sorted((box[0] * width, box[2] * width))
    y1, y2 = sorted((box[1] * height, box[3] * height))
    a, b, c, d = (round(float(value), 2) for value in (x1, y1, x2, y2))
    whole = (int(value) if value.is_integer() else value for value in (a, b, c, d))
    x1, y1, x2, y2 = whole
    return x1, y1, x2, y2


def convert(
    imported: Imported, *, val_share: float | None = None, seed: int = 0
) -> Converted:
    """Build a COCO file a subset.

    Args:
        imported: What was read.
        val_share: Share of the images that validates. By default the subsets that the
            data set has; :data:`VAL_SHARE` without any.
        seed: Seed of the draw.

    Returns:
        Subset -> COCO dictionary and report, what concerns all of them in the first.
    """
    subsets, note = _subsets(imported, val_share, seed)
    converted: Converted = {}
    for subset in SUBSETS:
        records = [r for r in imported.records if subsets[r.file_name] == subset]
        if records:
            # Errors of names were found before; here they would come once a box.
            known = [_known(record, imported.classes) for record in records]
            converted[subset] = build_coco(known, imported.classes, title=subset)
    if not converted:
        converted['train'] = build_coco([], imported.classes, title='train')
    report = next(iter(converted.values()))[1]
    report.notes += [f'read as {imported.format}', note, *imported.notes]
    report.errors += imported.errors
    for subset, (_, own) in converted.items():
        if bare := [name for name, number in own.boxes.items() if not number]:
            report.notes.append(f'{subset} has no box of {", ".join(map(shown, bare))}')
    return converted


def _known(record: ImageRecord, classes: Sequence[str]) -> ImageRecord:
    return replace(record, objects=[o for o in record.objects if o[0] in classes])


def _subsets(
    imported: Imported, val_share: float | None, seed: int
) -> tuple[Mapping[str, str], str]:
    """Subset of each image, and a note that says where it comes from."""
    own = imported.subsets
    whole = {r.file_name for r in imported.records}
    there = set(own.values())
    if val_share is None and own.keys() == whole and {'train'} < there:
        return own, 'split as the data set is'
    names = [r.file_name for r in imported.records]
    groups = twins(imported.root, names)
    share = VAL_SHARE if val_share is None else val_share
    drawn = draw_val(
        imported.records,
        share=share,
        seed=seed,
        train_only=[name for group in groups for name in group],
    )
    if groups:
        some = name_some([' = '.join(group) for group in groups])
        imported.notes.append(f'identical files, all of them in training: {some}')
    note = f'split by image, share {share:g} for validation, seed {seed}'
    return {name: 'val' if name in drawn else 'train' for name in names}, note
