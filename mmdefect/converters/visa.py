"""VisA (Zou et al., ECCV 2022): from its own folders to those of MVTec-AD.

::

    VisA/candle/Data/Images/Normal/0000.JPG    ->  candle/train/good, candle/test/good
    VisA/candle/Data/Images/Anomaly/000.JPG    ->  candle/test/bad/000.JPG
    VisA/candle/Data/Masks/Anomaly/000.png     ->  candle/ground_truth/bad/000.png

Which normal images are for training is said by ``split_csv/1cls.csv``. Masks hold small
integers (one a defect kind) and become 0 and 255; images are never encoded again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from mmdefect.converters.product_checks import (
    ProductReport,
    compare_totals,
    report_on,
    same_image_notes,
)
from mmdefect.datasets.anomaly.checks import file_errors
from mmdefect.datasets.anomaly.classes import VISA_CLASSES, VISA_TOTALS
from mmdefect.datasets.anomaly.layout import GOOD, AnomalyImage
from mmdefect.datasets.index_masks.pixels import mask_notes, read_defect
from mmdefect.utils.checks import check_known, name_some
from mmdefect.utils.files import new_folder
from mmdefect.utils.image_header import SUFFIXES
from mmdefect.utils.text_files import inner_path, read_csv

BAD = 'bad'
"""The one defect kind after conversion, as in the published conversions."""
COLUMNS = ('object', 'split', 'label', 'image', 'mask')


@dataclass
class Plan:
    """What a conversion would write.

    Args:
        files: Target relative to the output folder -> image file to copy.
        masks: Target -> mask file to binarise.
        reports: One a product.
        errors: Of the whole set.
    """

    files: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    reports: list[ProductReport] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def read_split(path: Path) -> list[dict[str, str]]:
    """Read the split file into rows with the keys of :data:`COLUMNS`.

    Raises:
        ValueError: If a column is missing, or a row has an unknown product, split or
            label, a defective training image, or no mask where one is needed.
    """
    if not path.exists():
        raise FileNotFoundError(
            f'there is no split file {path}: expected split_csv/1cls.csv of the '
            'published set; see data/README.md'
        )
    lines = read_csv(path, 'split file')
    header = lines[0] if lines else []
    if absent := [c for c in COLUMNS if c not in header]:
        raise ValueError(
            f'{path} has no column {", ".join(absent)}: expected '
            f'{", ".join(COLUMNS)}; get the split file again'
        )
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if line:
            cells = dict(zip(header, line, strict=False))
            row = {column: cells.get(column, '') for column in COLUMNS}
            rows.append(_check_row(row, f'{path} line {number}'))
    if not rows:
        raise ValueError(f'{path} lists no image: expected one a line; get it again')
    return rows


def _check_row(row: dict[str, str], where: str) -> dict[str, str]:
    check_known([row['object']], VISA_CLASSES, what=where)
    kind = (row['split'][:40], row['label'][:40])
    known = (('train', 'normal'), ('test', 'normal'), ('test', 'anomaly'))
    if kind not in known:
        raise ValueError(
            f'{where} has split and label {kind}: expected one of {known}; this is '
            'not the one-class split'
        )
    if row['label'] == 'anomaly' and not row['mask']:
        raise ValueError(
            f'{where} names no mask for {row["image"]}: expected one; get the file '
            'again'
        )
    paths = {key: inner_path(row[key], where) for key in ('image', 'mask') if row[key]}
    if 'image' not in paths:
        raise ValueError(f'{where} names no image: expected one; get the file again')
    return row | paths


def plan_visa(
    root: Path,
    *,
    split_csv: Path | None = None,
    full: bool = False,
    expect_real: bool = False,
    exif: str | None = None,
) -> Plan:
    """Read the split, look at every file, and say what is to be written.

    Args:
        root: Folder that holds ``candle`` and so on, and ``split_csv``.
        split_csv: Split file, ``ROOT/split_csv/1cls.csv`` by default.
        full: Whether to decode every file, not only its header.
        expect_real: Whether to compare the totals with those of the real set.
        exif: See :func:`mmdefect.datasets.anomaly.checks.file_errors`.
    """
    rows = read_split(split_csv or root / 'split_csv' / '1cls.csv')
    plan = Plan()
    for product in VISA_CLASSES:
        mine = [row for row in rows if row['object'] == product]
        if mine:
            plan.reports.append(_plan_product(root, mine, plan, full=full, exif=exif))
    if expect_real:
        plan.errors += compare_totals(plan.reports, VISA_TOTALS, title='VisA')
    return plan


def _plan_product(
    root: Path,
    rows: Sequence[Mapping[str, str]],
    plan: Plan,
    *,
    full: bool,
    exif: str | None,
) -> ProductReport:
    product = rows[0]['object']
    images: dict[str, list[AnomalyImage]] = {'train': [], 'test': []}
    twice = []
    for row in rows:
        defect = BAD if row['label'] == 'anomaly' else GOOD
        path = root / row['image']
        masks = (root / row['mask'],) if defect == BAD else ()
        images[row['split']].append(AnomalyImage(path, product, defect, masks))
        target = f'{product}/{row["split"]}/{defect}/{path.name}'
        if target in plan.files:
            twice.append(target)
        plan.files[target] = path
        for mask in masks:
            plan.masks[f'{product}/ground_truth/{BAD}/{path.stem}.png'] = mask
    report = report_on(product, images['train'], images['test'])
    every = images['train'] + images['test']
    report.errors = file_errors(every, full=full, exif=exif)
    report.notes += same_image_notes(images['train'], images['test'])
    if twice:
        report.errors.append(
            f'the split file names images twice ({name_some(twice)}): expected each '
            'once; get it again'
        )
    if not report.errors:
        report.notes += mask_notes(mask for i in images['test'] for mask in i.masks)
    if unused := sorted(_files_of(root / product) - {i.path for i in every}):
        names = name_some([str(path) for path in unused])
        report.notes.append(f'images that the split leaves out: {names}')
    return report


def _files_of(folder: Path) -> set[Path]:
    images = (folder / 'Data' / 'Images').rglob('*')
    return {path for path in images if path.suffix.lower() in SUFFIXES}


def write_plan(plan: Plan, out: Path, *, link: bool = False) -> None:
    """Write what a plan without errors says, into a folder that does not exist yet.

    The folder gets its name at the end, so one that is there is whole. With ``link``
    the images are hard links instead of copies.
    """
    if out.exists():
        raise FileExistsError(
            f'{out} exists already: expected a new folder; remove it, or give another '
            '--out'
        )
    with new_folder(out) as part:
        for target, source in _targets(part, plan.files):
            if link:
                os.link(source, target)
            else:
                shutil.copyfile(source, target)
        for target, source in _targets(part, plan.masks):
            Image.fromarray(255 * read_defect(source)).save(target)


def _targets(out: Path, files: Mapping[str, Path]) -> Iterator[tuple[Path, Path]]:
    """Target and source of each file, with the target's folder made."""
    for name, source in files.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target, source
