"""Whether the files of an anomaly data set are there, sound, and of equal size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from mmdefect.datasets.anomaly_layout import AnomalyImage
from mmdefect.datasets.converters.coco_checks import name_some
from mmdefect.datasets.images import decode_error


def header_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file, read from its header.

    Raises:
        ValueError: In a few words, if the file is missing, empty or no image.
    """
    if not path.is_file():
        raise ValueError('missing file')
    if path.stat().st_size == 0:
        raise ValueError('zero bytes')
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError) as error:
        raise ValueError('no image') from error


def file_errors(images: Iterable[AnomalyImage], *, full: bool = False) -> list[str]:
    """Look at every file, and compare masks with their images.

    Args:
        images: With their masks.
        full: Whether to decode all pixels, which finds truncated files; otherwise
            headers are read, which takes a moment even for large sets.

    Returns:
        At most one sentence for broken files and one for sizes.
    """
    broken, unequal = [], []
    for image in images:
        sizes: dict[Path, tuple[int, int]] = {}
        for path in (image.path, *image.masks):
            try:
                sizes[path] = header_size(path)
                why = decode_error(path) if full else None
            except ValueError as error:
                why = str(error)
            if why:
                broken.append(f'{path} ({why})')
        wanted = sizes.get(image.path)
        unequal += [
            f'{mask} {_text(sizes[mask])} of {image.path.name} {_text(wanted)}'
            for mask in image.masks
            if wanted and mask in sizes and sizes[mask] != wanted
        ]
    return _sentences(broken, unequal)


def _text(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'


def _sentences(broken: Sequence[str], unequal: Sequence[str]) -> list[str]:
    errors = []
    if broken:
        errors.append(
            f'Broken files ({name_some(broken)}); expected images that can be read: '
            'restore or remove them.'
        )
    if unequal:
        errors.append(
            f'Masks of another size than their image ({name_some(unequal)}); expected '
            'equal width and height: correct the masks.'
        )
    return errors
