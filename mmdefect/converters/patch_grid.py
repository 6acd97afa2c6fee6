"""A grid of patches, and how much of each is object."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mmdefect.utils.checks import check_range


@dataclass(frozen=True)
class Settings:
    """How patches are cut.

    Args:
        size: Height and width of a patch in pixels.
        stride: Distance of neighbours in pixels. The last ones lie against the edges:
            every pixel is in a patch, unless the stride is larger than ``size``.
        min_share: Share of object pixels from which on a patch is crack. Those between
            0 and it are dropped: their label would depend on a few pixels of the mask.
        object_ids: Mask ids that count as crack; None for all above 0.
        shares: Of train, val and test, for a folder without subsets; all 1 of 1 to test
            is ``(0, 0, 1)``. None where the folders say which image is where.
        seed: Of the subsets and of the choice of patches.
        masks: Whether to write the masks of the patches too, below ``out/masks``.
        exif: What images with an EXIF orientation mean, see
            :func:`mmdefect.utils.images.is_turned`.
    """

    size: int = 112
    stride: int = 56
    min_share: float = 0.01
    object_ids: tuple[int, ...] | None = None
    shares: tuple[float, float, float] | None = None
    seed: int = 0
    masks: bool = False
    exif: str | None = None

    def __post_init__(self) -> None:
        check_range('size', self.size, 1)
        check_range('stride', self.stride, 1)
        check_range('min_share', self.min_share, 0, 1, open_low=True)
        shares = self.shares
        if shares and (min(shares) < 0 or abs(sum(shares) - 1) > 1e-6):
            raise ValueError(
                f'shares={shares}: expected three numbers from 0 on that add up to 1'
            )


def shares_on_grid(
    inside: np.ndarray, settings: Settings
) -> list[tuple[int, int, float]]:
    """Share of object pixels of every patch of a boolean mask (H, W).

    Returns:
        First row, first column and share of each, row by row.
    """
    size = settings.size
    total = cv2.integral(inside.astype(np.uint8))  # int32, shape (H + 1, W + 1)
    rows, columns = (_starts(length, settings) for length in inside.shape)
    found = []
    for y in rows:
        for x in columns:
            pixels = total[y + size, x + size] - total[y, x + size]
            pixels += total[y, x] - total[y + size, x]
            found.append((y, x, float(pixels) / size**2))
    return found


def _starts(length: int, settings: Settings) -> list[int]:
    last = length - settings.size
    return sorted({*range(0, last + 1, settings.stride), last})
