"""Which pixels of a mask file are a defect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mmdefect.utils.checks import name_some
from mmdefect.utils.images import read_mask, read_palette

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
    """Read a mask file: shape (H, W), uint8, 1 where the defect is.

    A palette that uses greys only is read as the grey picture that viewers show, as its
    order is the writer's; one of colours by index, 0 is background.
    """
    pixels, lossy, _ = _read(path)
    return defect_pixels(pixels, lossy=lossy)


def _read(path: str | Path) -> tuple[np.ndarray, bool, bool]:
    """Values of a file, whether they are lossy, and a palette's background a guess."""
    pixels, header = read_mask(path)
    if header.mode != 'P':
        return pixels, header.kind == 'JPEG', False
    palette = read_palette(path)
    used = np.flatnonzero(np.bincount(pixels.ravel(), minlength=256))
    colours = palette[used].astype(int)
    several = len(used) > 1
    grey = not np.ptp(colours, axis=1).any()
    if grey and (np.ptp(colours) or not several):  # one grey for all: ids, no picture
        return palette[pixels, 0], False, False
    light = colours.sum(axis=1)
    guess = several and bool(used[0] or (light[1:] <= light[0]).any())
    return pixels, False, guess


@dataclass(frozen=True)
class MaskFacts:
    """What is worth a word about a mask.

    Args:
        defect: Number of defect pixels.
        between: Pixels of grey levels between zero and the largest, if a threshold had
            to say what they are; 0 for class ids and masks of two levels.
        alpha: Whether nothing but the alpha channel, which is not looked at, holds a
            drawing.
        whole: Whether every pixel is a defect.
        guess: Whether a palette of colours has a darker one than index 0, which is read
            as background.
    """

    defect: int
    between: int = 0
    alpha: bool = False
    whole: bool = False
    guess: bool = False


def look_at_mask(path: str | Path) -> MaskFacts:
    """Decode a mask; a file that has not changed is decoded once in a process."""
    about = Path(path).stat()
    return _look(str(path), about.st_mtime_ns, about.st_size)


@cache
def _look(path: str, _time: int, _size: int) -> MaskFacts:
    pixels, lossy, guess = _read(path)
    grey = _one_channel(pixels)
    level = _threshold(grey, lossy)
    defect = int((grey > level).sum())
    between = ((grey > 0) & (grey < grey.max(initial=0))).sum() if level else 0
    alpha = pixels.ndim == 3 and pixels.shape[2] == 4
    if alpha:
        *drawn, varies = np.ptp(pixels, axis=(0, 1))
        alpha = bool(varies) and not any(drawn)
    return MaskFacts(defect, int(between), alpha, defect == grey.size, guess)


def mask_notes(masks: Iterable[str | Path]) -> list[str]:
    """Decode masks; say what of them is odd but can be used, one sentence a kind."""
    facts = {str(mask): look_at_mask(mask) for mask in masks}
    grey = [f'{mask} ({f.between})' for mask, f in facts.items() if f.between]
    seen = {mask: found for mask, found in facts.items() if not found.alpha}
    notes = []
    if grey:
        pixels = sum(found.between for found in facts.values())
        notes.append(
            f'masks of grey levels, of JPEG or smoothed ({name_some(grey)}): {pixels} '
            'pixels lie between background and defect, and count as defect from half '
            'of the largest value on; save masks without loss, with two values'
        )
    if blank := [mask for mask, found in seen.items() if not found.defect]:
        notes.append(f'masks without a defect pixel: {name_some(blank)}')
    if whole := [mask for mask, found in seen.items() if found.whole]:
        notes.append(
            f'masks that cover the whole image: {name_some(whole)}; if that is not '
            'meant, save them as grey, with background 0'
        )
    if alpha := [mask for mask, found in facts.items() if found.alpha]:
        notes.append(
            'masks drawn in the alpha channel only, which is not looked at, so that '
            f'none or all of their pixels are a defect: {name_some(alpha)}; save them '
            'as grey'
        )
    if guess := [mask for mask, found in facts.items() if found.guess]:
        notes.append(
            'masks with a palette of colours in which index 0, which is read as '
            f'background, is not the darkest: {name_some(guess)}; save them as grey, '
            'with background 0'
        )
    return notes
