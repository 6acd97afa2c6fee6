"""Images and the index masks that segment them, paired by name.

::

    root/images/001.jpg                     root/Images/Crack/x.png
    root/masks/001.png                      root/Segmented/Crack/x.png

An image and its mask have the same path below their folders, without the suffix. Any
folder that images may be nested in is found; hidden files are neither.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmdefect.datasets.images import look_at
from mmdefect.utils.checks import name_some
from mmdefect.utils.image_header import SUFFIXES, ImageError
from mmdefect.utils.images import is_turned


class Pair(NamedTuple):
    """An image and its mask.

    Args:
        name: Path below the folder of images, without suffix, with slashes.
        image: The image file.
        mask: The mask file.
    """

    name: str
    image: Path
    mask: Path


def pair_files(images: Path, masks: Path) -> list[Pair]:
    """Pair every image of a folder with the mask of its name; sorted by name.

    Raises:
        FileNotFoundError: If a folder is not there.
        ValueError: If a folder is empty or holds other files, two files have one name,
            or an image or a mask is alone.
    """
    if images.resolve() == masks.resolve():
        raise ValueError(
            f'images and masks are both in {images}: expected a folder each; correct '
            'data_prefix'
        )
    left, right = find_files(images, 'image'), find_files(masks, 'mask')
    for what, there, files, others in (
        ('images without a mask', masks, left, right),
        ('masks without an image', images, right, left),
    ):
        if names := sorted(files.keys() - others.keys()):
            alone = name_some([str(files[name]) for name in names])
            raise ValueError(
                f'{what} in {there} ({alone}): expected one of each, with equal names '
                'but for the suffix; add, rename or remove them'
            )
    return [Pair(name, left[name], right[name]) for name in sorted(left)]


def find_files(folder: Path, what: str) -> dict[str, Path]:
    """Find all images below a folder, by their path without suffix, with slashes.

    Linked folders are followed; ``what`` is ``'image'`` or ``'mask'``, for messages.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds none, something else, or two files of one name.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f'there is no {what} folder {folder}: expected one with files ending in '
            f'{", ".join(SUFFIXES)}; check data_root and data_prefix'
        )
    found: dict[str, Path] = {}
    strange, twice = [], []
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(name for name in names if not name.startswith('.')):
            path = Path(place, name)
            key = path.relative_to(folder).with_suffix('').as_posix()
            if path.suffix.lower() not in SUFFIXES:
                strange.append(str(path))
            elif key in found:
                twice.append(f'{found[key]} and {path.name}')
            else:
                found[key] = path
    for problem, files, remedy in (
        (f'other files than {what}s', strange, 'move or convert'),
        (f'{what}s of one name', twice, 'rename or remove'),
    ):
        if files:
            raise ValueError(
                f'{folder} holds {problem} ({name_some(files)}): expected files '
                f'ending in {", ".join(SUFFIXES)} (any case), one a name; {remedy} '
                'them'
            )
    if not found:
        raise ValueError(
            f'the {what} folder {folder} is empty: expected files ending in '
            f'{", ".join(SUFFIXES)}; check the path, or unpack the data again'
        )
    return found


def size_error(pair: Pair, mask: np.ndarray, *, exif: str | None = None) -> str | None:
    """Say in a few words why a mask (H, W) does not lie on its image, else None.

    ``exif`` as in :func:`mmdefect.utils.images.is_turned`; reads the image's header.
    """
    facts = look_at(pair.image)
    if facts.header is None:
        return f'{pair.image} ({facts.error})'
    try:
        is_turned(facts.header, (mask.shape[1], mask.shape[0]), exif)
    except ImageError as error:
        if facts.header.orientation > 1:
            return f'{pair.image} ({error})'
        return (
            f'{pair.mask} {mask.shape[1]}x{mask.shape[0]} of {pair.image.name} '
            f'{facts.header.width}x{facts.header.height}'
        )
    return None
