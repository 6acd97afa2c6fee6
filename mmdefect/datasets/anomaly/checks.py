"""Whether the files of an anomaly dataset are there, sound, and of equal size."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmengine.logging import print_log

from mmdefect.datasets.anomaly.layout import AnomalyImage, scan_products
from mmdefect.datasets.images import broken_error, look_at
from mmdefect.datasets.index_masks.pixels import mask_notes
from mmdefect.datasets.same_images import same_images
from mmdefect.utils.checks import name_some
from mmdefect.utils.image_header import Header


def file_errors(
    images: Iterable[AnomalyImage], *, full: bool = False, exif: str | None = None
) -> list[str]:
    """Look at every file, and compare masks with their images.

    Args:
        images: With their masks.
        full: Whether to decode all pixels, which finds truncated files; otherwise
            headers are read, which takes a moment even for large sets.
        exif: What images with an EXIF orientation mean: ``'stored'`` pixels or the
            ``'turned'`` picture. None for stored pixels, unless a mask says otherwise
            or could lie on either: that is an error.
    """
    broken, unequal, unclear = [], [], []
    for image in images:
        headers: dict[Path, Header] = {}
        for path in (image.path, *image.masks):
            facts = look_at(path, full=full)
            if facts.header is None:
                broken.append(f'{path} ({facts.error})')
            else:
                headers[path] = facts.header
        if (own := headers.pop(image.path, None)) is None:
            continue
        for mask, header in headers.items():
            what = f'{mask} {_text(header)} of {image.path.name} {_text(own)}'
            turned = header.size() == own.size(turned=True)
            if exif is None and own.orientation > 1 and turned:
                unclear.append(what)
            elif header.size() != own.size(turned=exif == 'turned'):
                unequal.append(what)
    return _sentences(broken, unequal, unclear)


def _text(header: Header) -> str:
    tag = f' orientation {header.orientation}' if header.orientation > 1 else ''
    return f'{header.width}x{header.height}{tag}'


def _sentences(
    broken: Sequence[str], unequal: Sequence[str], unclear: Sequence[str]
) -> list[str]:
    errors = broken_error(broken)
    if unequal:
        errors.append(
            f'masks of another size than their image ({name_some(unequal)}): expected '
            'equal width and height; correct the masks'
        )
    if unclear:
        errors.append(
            'images with an EXIF orientation whose masks lie on the turned picture, '
            f'or may lie on either ({name_some(unclear)}): expected masks on the '
            "stored pixels; give exif='turned' or 'stored', equal in training and "
            'test (--exif of the converters)'
        )
    return errors


def warn_of(images: Sequence[AnomalyImage], where: str, *, root: Path | None) -> None:
    """Warn of odd masks of a test set, and of its images that are trained on.

    ``root`` is the folder of the products; None for a list, which does not name the
    training images.
    """
    notes = mask_notes(mask for image in images for mask in image.masks)
    if root is not None:
        tested = {image.path for image in images}
        products = list(dict.fromkeys(image.product for image in images))
        learned = scan_products(root, products, 'train').images
        # A file that is held out of training is no second one.
        learned = [image for image in learned if image.path not in tested]
        notes += same_images([image.path for image in learned], sorted(tested))
    for note in notes:
        print_log(f'{where}: {note}.', logger='current', level=logging.WARNING)
