"""Which pixels of a mask file are a defect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mmdefect.utils.checks import name_some
from mmdefect.utils.images import read_mask

MAX_ID = 126
"""Largest class id: from 127 on, FTL's release takes a mask as grey values."""


def defect_pixels(mask: np.ndarray, *, lossy: bool = False) -> np.ndarray:
    """Where a mask shows a defect, its alpha channel apart.

    Class ids (all values below 127) and masks of one value beside zero: any value above
    zero. Grey levels, such as of JPEG or smoothed outlines: from half of the largest
    value on.

    Args:
        mask: Shape (H, W), or (H, W, C) with C 1 or 3, and one more for alpha, which is
            full everywhere. The largest channel counts.
        lossy: Whether the values are grey levels even if they are small.

    Returns:
        Shape (H, W), uint8, 0 or 1.
    """
    return (_one_channel(mask) > _threshold(_one_channel(mask), lossy)).astype(np.uint8)


def _one_channel(mask: np.ndarray) -> np.ndarray:
    if mask.ndim == 3:
        mask = mask[..., : 1 if mask.shape[2] < 3 else 3].max(axis=2)
    return mask


def _threshold(mask: np.ndarray, lossy: bool) -> float:
    """Values above it are defect."""
    top = int(mask.max(initial=0))
    if not lossy and (top <= MAX_ID or not ((mask > 0) & (mask < top)).any()):
        return 0
    return max(0, (top - 1) / 2)


def read_defect(path: str | Path) -> np.ndarray:
    """Read a mask file.

    Returns:
        Shape (H, W), uint8, 1 where the defect is.

    Raises:
        ValueError: Naming the file, if it cannot be accepted.
    """
    pixels, header = read_mask(path)
    return defect_pixels(pixels, lossy=header.kind == 'JPEG')


@dataclass(frozen=True)
class MaskFacts:
    """What is worth a word about a mask.

    Args:
        defect: Number of defect pixels.
        between: Pixels of grey levels between zero and the largest, if a threshold had
            to say what they are; 0 for class ids and masks of two levels.
        alpha: Whether nothing but the alpha channel, which is not looked at, holds a
            drawing.
    """

    defect: int
    between: int = 0
    alpha: bool = False


def look_at_mask(path: str | Path) -> MaskFacts:
    """Decode a mask; a file that has not changed is decoded once in a process.

    Raises:
        ValueError: Naming the file, if it cannot be accepted.
        OSError: If it is not there.
    """
    about = Path(path).stat()
    return _look(str(path), about.st_mtime_ns, about.st_size)


@cache
def _look(path: str, _time: int, _size: int) -> MaskFacts:
    pixels, header = read_mask(path)
    grey = _one_channel(pixels)
    level = _threshold(grey, header.kind == 'JPEG')
    defect = int((grey > level).sum())
    between = ((grey > 0) & (grey < grey.max(initial=0))).sum() if level else 0
    drawn = not defect and pixels.ndim == 3 and pixels.shape[2] == 4
    alpha = bool(drawn and np.ptp(pixels[..., 3]))
    return MaskFacts(defect, int(between), alpha)


def mask_notes(masks: Iterable[str | Path]) -> list[str]:
    """Decode masks; say what of them is odd but can be used.

    Returns:
        One sentence a kind: grey levels that were thresholded, masks that show nothing.

    Raises:
        ValueError: Naming the mask, if one cannot be decoded.
    """
    grey: list[str] = []
    blank: list[str] = []
    alpha: list[str] = []
    pixels = 0
    for mask in masks:
        facts = look_at_mask(mask)
        pixels += facts.between
        if facts.between:
            grey.append(f'{mask} ({facts.between})')
        if not facts.defect:
            (alpha if facts.alpha else blank).append(str(mask))
    notes = []
    if grey:
        notes.append(
            f'masks of grey levels, of JPEG or smoothed ({name_some(grey)}): {pixels} '
            'pixels lie between background and defect, and count as defect from half '
            'of the largest value on; save masks without loss, with two values'
        )
    if blank:
        notes.append(f'masks without a defect pixel: {name_some(blank)}')
    if alpha:
        notes.append(
            'masks drawn in the alpha channel only, which is not looked at, so without '
            f'a defect pixel: {name_some(alpha)}; save them as grey'
        )
    return notes
