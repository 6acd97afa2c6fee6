"""What is said of products in the layout of MVTec-AD, and whether it is sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmdefect.converters.output import differing_totals
from mmdefect.datasets.anomaly.checks import file_errors
from mmdefect.datasets.anomaly.depth import product_bits
from mmdefect.datasets.anomaly.held_out import SHARE, held_out, untested_note
from mmdefect.datasets.anomaly.layout import GOOD, AnomalyImage, scan_products
from mmdefect.datasets.index_masks.pixels import mask_notes
from mmdefect.datasets.same_images import same_images


@dataclass
class ProductReport:
    """What was found of one product; ``str()`` gives its part of the summary.

    Args:
        product: Its name.
        train: Normal training images.
        good: Good test images.
        kinds: Defect kind -> test images.
        masks: Mask files.
        notes: Anything worth knowing.
        errors: Why the product must not be used.
    """

    product: str
    train: int = 0
    good: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    masks: int = 0
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def defective(self) -> int:
        """Test images with a defect of any kind."""
        return sum(self.kinds.values())

    @property
    def totals(self) -> tuple[int, int, int]:
        """Normal training, good test and defective test images."""
        return self.train, self.good, self.defective

    def __str__(self) -> str:
        kinds = ', '.join(f'{kind} {count}' for kind, count in self.kinds.items())
        lines = [
            f'{self.product}: {self.train} train, {self.good} good and '
            f'{self.defective} defective test images'
            + (f' ({kinds})' if kinds else '')
            + f', {self.masks} masks'
        ]
        lines += [f'  note: {note}' for note in self.notes]
        lines += [f'  ERROR: {error}' for error in self.errors]
        return '\n'.join(lines)


def report_on(
    product: str, train: Sequence[AnomalyImage], test: Sequence[AnomalyImage]
) -> ProductReport:
    """Count the images of one product."""
    kinds = Counter(image.defect for image in test)
    good = kinds.pop(GOOD, 0)
    masks = sum(len(image.masks) for image in test)
    return ProductReport(product, len(train), good, dict(sorted(kinds.items())), masks)


def check_product(
    root: Path, product: str, *, full: bool = False, exif: str | None = None
) -> ProductReport:
    """Check the folders and files of one product without changing them.

    Args:
        root: Folder that holds the product.
        product: Its name.
        full: Whether to decode all images, and look at the values of masks.
        exif: See :func:`mmdefect.datasets.anomaly.checks.file_errors`.
    """
    train, test = (scan_products(root, [product], s) for s in ('train', 'test'))
    images = train.images + test.images
    report = report_on(product, train.images, test.images)
    report.errors = train.errors + test.errors
    report.errors += file_errors(images, full=full, exif=exif)
    report.notes += same_image_notes(train.images, test.images)
    if test.image_level:
        report.notes.append('no ground_truth: defects are known by image only')
    if test.untested or test.all_defective:
        number = len(held_out(train.images, SHARE, root=root))
        defects = bool(test.all_defective)
        note = untested_note(product, number, SHARE, defects=defects)
        report.notes.append(note.split(': ', 1)[1])
    elif not report.defective:
        report.notes.append('no defective test image: its AUROC is undefined')
    if not report.errors:
        bits, beyond = product_bits({product: images}, root=root)
        report.notes += [
            f'images of 16 bits are read as {n} bits' for n in bits.values()
        ]
        report.errors += beyond
    if full and not report.errors:
        report.notes += mask_notes(mask for i in test.images for mask in i.masks)
    return report


def same_image_notes(
    train: Sequence[AnomalyImage], test: Sequence[AnomalyImage]
) -> list[str]:
    """One sentence if test images are training images, too."""
    return same_images([i.path for i in train], [i.path for i in test])


def compare_totals(
    reports: Sequence[ProductReport],
    totals: Mapping[str, tuple[int, int, int]],
    *,
    title: str,
) -> list[str]:
    """One sentence for each product whose totals differ from the published set's."""
    found = {report.product: report.totals for report in reports}
    there, real = (
        {name: _text(of.get(name, (0, 0, 0))) for name in [*totals, *found]}
        for of in (found, totals)
    )
    return differing_totals(there, real, title=title)


def _text(totals: tuple[int, int, int]) -> str:
    return f'{totals[0]} train, {totals[1]} good and {totals[2]} defective test images'


def print_reports(reports: Sequence[ProductReport], errors: Sequence[str] = ()) -> bool:
    """Print the verification summary and errors of the set; True without any error."""
    for report in reports:
        print(report)
    sums = [sum(counts) for counts in zip(*(r.totals for r in reports), strict=True)]
    if sums:
        print(f'{len(reports)} products: {_text((sums[0], sums[1], sums[2]))}')
    for error in errors:
        print(f'ERROR: {error}')
    return not errors and not any(report.errors for report in reports)
