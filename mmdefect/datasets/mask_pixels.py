"""Which pixels of a mask file are a defect."""

from __future__ import annotations

import numpy as np


def defect_pixels(mask: np.ndarray) -> np.ndarray:
    """Where a mask has any value above zero, its alpha channel apart.

    Args:
        mask: Shape (H, W), or (H, W, C) with C 1 or 3, and one more for alpha, which is
            full everywhere.

    Returns:
        Shape (H, W), uint8, 0 or 1.
    """
    if mask.ndim == 3:
        mask = mask[..., : 1 if mask.shape[2] < 3 else 3].max(axis=2)
    return (mask > 0).astype(np.uint8)
