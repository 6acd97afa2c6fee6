"""Options of converters that look at images, and what is found of those of COCO."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmdefect.datasets.images import broken_error, look_at
from mmdefect.utils.checks import name_some
from mmdefect.utils.image_header import ImageError
from mmdefect.utils.images import EXIF, is_turned


def add_exif_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--exif``."""
    parser.add_argument(
        '--exif',
        choices=EXIF,
        help='which pixels of images with an EXIF orientation are annotated; default: '
        'as sizes say. Give exif to the datasets, too',
    )


def image_errors(
    images: Iterable[Mapping[str, Any]],
    root: Path,
    *,
    exif: str | None = None,
    full: bool = False,
) -> list[str]:
    """Compare the images of a COCO file with the files that are there.

    Args:
        images: As :func:`mmdefect.datasets.boxes.coco_file.read_coco` gives them.
        root: Folder the names are relative to. Missing files are others' to name.
        exif: See :func:`mmdefect.utils.images.is_turned`.
        full: Whether to decode all pixels, which finds truncated files.
    """
    broken, unequal = [], []
    for image in images:
        path = root / image['file_name']
        if not path.exists():
            continue
        facts = look_at(path, full=full)
        if facts.header is None:
            broken.append(f'{path} ({facts.error})')
            continue
        try:
            is_turned(facts.header, (image['width'], image['height']), exif)
        except ImageError as error:
            unequal.append(f'{path} ({error})')
    errors = broken_error(broken)
    if unequal:
        errors.append(
            f'images that are not what is annotated ({name_some(unequal)}): expected '
            'the annotated width and height; give the images that were annotated, or '
            'correct the annotations; --exif says what an EXIF orientation means'
        )
    return errors
