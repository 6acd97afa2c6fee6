"""What a conversion to index masks would write, and the writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmdefect.datasets.index_masks.pairs import Pair, find_files, size_error
from mmdefect.datasets.index_masks.pixels import MAX_ID
from mmdefect.utils.checks import name_some
from mmdefect.utils.files import new_folder, write_json


@dataclass
class Masks:
    """What a conversion would write; ``str()`` gives the verification summary.

    Args:
        classes: Name -> id, from 1 on.
        files: Name without suffix -> PNG, encoded.
        shapes: Name -> height and width.
        pixels: Class -> number of its pixels.
        shown: Class -> number of masks that show it.
        empty: Masks that show nothing.
        errors: Why nothing may be written.
    """

    classes: dict[str, int]
    files: dict[str, bytes] = field(default_factory=dict)
    shapes: dict[str, tuple[int, int]] = field(default_factory=dict)
    pixels: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def add(self, name: str, mask: np.ndarray) -> None:
        """Take a mask: ids, uint8, shape (H, W)."""
        if name in self.files:
            self.errors.append(
                f'two annotations are of one image, {name}: expected one; remove one'
            )
        sound, data = cv2.imencode('.png', mask)
        if not sound:
            raise OSError(f'cannot encode the mask {name} of shape {mask.shape}')
        self.files[name] = data.tobytes()
        self.shapes[name] = (mask.shape[0], mask.shape[1])
        for known, number in self.classes.items():
            if pixels := int((mask == number).sum()):
                self.pixels[known] += pixels
                self.shown[known] += 1
        if not mask.any():
            self.empty.append(name)

    def __str__(self) -> str:
        lines = [f'{len(self.files)} masks']
        lines += [
            f'  {number} {name}: {self.pixels[name]} pixels in {self.shown[name]} masks'
            for name, number in self.classes.items()
        ]
        lines.append(f'  masks without any class: {name_some(self.empty)}')
        lines += [f'  ERROR: {error}' for error in self.errors]
        return '\n'.join(lines)


def number_classes(names: Sequence[str]) -> dict[str, int]:
    """Number classes from 1 on, in the order given.

    Raises:
        ValueError: If there is none, one twice, or more than an index mask can hold.
    """
    if not names or len(set(names)) < len(names) or len(names) > MAX_ID:
        raise ValueError(
            f'classes={list(names)[:5]} ({len(names)}): expected 1 to {MAX_ID} '
            'different ones; correct --classes, or the annotations'
        )
    return {name: number for number, name in enumerate(names, 1)}


def compare_with_images(masks: Masks, folder: Path, *, exif: str | None = None) -> None:
    """Add an error for each image without a mask, mask without image, or other size."""
    images = find_files(folder, 'image')
    for what, names in (
        (f'images of {folder} are not annotated', images.keys() - masks.files.keys()),
        (f'annotated images are not in {folder}', masks.files.keys() - images.keys()),
    ):
        if names:
            masks.errors.append(
                f'{what} ({name_some(sorted(names))}): expected one annotation each, '
                'of an equal name; add, rename or remove files'
            )
    wrong = list(_unequal(masks, images, exif))
    if wrong:
        masks.errors.append(
            f'masks do not fit their images ({name_some(wrong)}): expected the size '
            'of the image; annotate them again, or say with --exif what an EXIF '
            'orientation means'
        )


def _unequal(
    masks: Masks, images: Mapping[str, Path], exif: str | None
) -> Iterator[str]:
    for name in sorted(images.keys() & masks.files.keys()):
        blank = np.broadcast_to(np.uint8(0), masks.shapes[name])
        pair = Pair(name, images[name], Path(f'mask {name}'))
        if why := size_error(pair, blank, exif=exif):
            yield why


def write_masks(masks: Masks, out: Path, **more: Any) -> None:
    """Write ``masks/<name>.png`` and ``classes.json`` into a new or empty folder.

    Args:
        masks: Without errors.
        out: New or empty folder.
        more: Name of a further JSON file without suffix -> its content.
    """
    with new_folder(out) as part:
        for name, data in masks.files.items():
            target = part / 'masks' / f'{name}.png'
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        write_json(part / 'classes.json', masks.classes)
        for name, content in more.items():
            write_json(part / f'{name}.json', content)
