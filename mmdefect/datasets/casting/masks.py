"""Outlines of the defects, where somebody drew them; the vendor delivers none.

A mask of ``test/def_front/cast_def_0_7.jpeg`` is, below the mask folder,
``test/def_front/cast_def_0_7_mask.png`` (above zero is defect) or, as the casting study
drew them, ``..._color_mask.png`` (defect where green is zero). Masks may also lie in
one flat folder, as long as only one image has their name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from mmdefect.datasets.casting.layout import CASTING_CLASSES, DEFECTIVE, CastingImage
from mmdefect.datasets.images import refuse
from mmdefect.datasets.index_masks.pixels import read_defect
from mmdefect.utils.checks import name_some
from mmdefect.utils.images import read_mask

COLOUR_MASK, MASK = '_color_mask', '_mask'
"""Endings of mask files, the longer first."""
_ENDING = re.compile(f'({COLOUR_MASK}|{MASK})$')


def read_defect_mask(path: str | Path) -> np.ndarray:
    """Read a mask, whose ending says what its values mean.

    Returns:
        Shape (H, W), uint8, 1 where the defect is.

    Raises:
        ValueError: If the file cannot be decoded, or a colour mask has no colours.
    """
    if Path(path).stem.endswith(COLOUR_MASK):
        pixels, _ = read_mask(path)
        if pixels.ndim != 3:
            raise ValueError(
                f'the mask {path} has one channel: expected colours, with green zero '
                f'on the defect; save it in colour, or name it ...{MASK}.png'
            )
        return (pixels[..., 1] == 0).astype(np.uint8)
    return read_defect(path)


def match_masks(folder: Path, images: Sequence[CastingImage]) -> dict[str, Path]:
    """Give defective images their masks, and every mask its image; name -> mask.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no mask, or one that belongs to no defective image, to
            several, or to one that has a mask already.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f'there is no mask folder {folder}: expected files such as '
            f'test/{CASTING_CLASSES[0]}/cast_def_0_7{MASK}.png below; check mask_dir'
        )
    by_stem = _by_stem(images)
    found: dict[str, Path] = {}
    errors: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.rglob('*.png')):
        place = PurePosixPath(path.relative_to(folder).as_posix())
        names = by_stem.get(str(place.parent / _ENDING.sub('', path.stem)), [])
        if not names:
            errors['without a defective image'].append(str(path))
        elif len(names) > 1:
            errors[f'whose image may be {" or ".join(names)}'].append(str(path))
        elif names[0] in found:
            errors[f'beside {found[names[0]].name} of the same image'].append(str(path))
        else:
            found[names[0]] = path
    refuse(_sentences(errors, folder, empty=not found), where=str(folder))
    return found


def _by_stem(images: Sequence[CastingImage]) -> dict[str, list[str]]:
    """Defective images by their stem alone, and by folder and stem."""
    found: dict[str, list[str]] = defaultdict(list)
    for image in images:
        if image.label == DEFECTIVE:
            name = PurePosixPath(image.name)
            found[name.stem].append(image.name)
            found[str(name.with_suffix(''))].append(image.name)
    return found


def _sentences(errors: dict[str, list[str]], folder: Path, *, empty: bool) -> list[str]:
    if not errors and empty:
        return [
            f'there is no PNG in {folder}: expected masks such as '
            f'cast_def_0_7{MASK}.png; check mask_dir'
        ]
    return [
        f'masks {what} ({name_some(paths)}): expected one in the folders of its '
        f'image, as test/{CASTING_CLASSES[0]}/cast_def_0_7{MASK}.png; move, rename or '
        'remove them'
        for what, paths in errors.items()
    ]
