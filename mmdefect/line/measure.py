"""How an image looks, in two numbers: of a lamp that fades, of a lens out of focus.

They are of a copy of at most 512 pixels a side, so that they cost little beside
inference. They compare images of one camera, not one camera with another.
"""

from __future__ import annotations

import cv2
import numpy as np

_SIDE = 512


def brightness_and_sharpness(image: np.ndarray) -> tuple[float, float]:
    """Mean grey value, 0 to 255, and variance of the Laplacian.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy: a comparative
    study", ICPR 2000, for the second.

    Args:
        image: ``(H, W, 3)``, BGR, uint8.
    """
    # Of a large one every few pixels: to average all would take longer than to decide.
    step = max(1, max(image.shape[:2]) // (2 * _SIDE))
    grey = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_BGR2GRAY)
    height, width = grey.shape
    by = -(-max(height, width) // _SIDE)
    if by > 1:
        size = (max(1, width // by), max(1, height // by))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    edges = cv2.Laplacian(grey, cv2.CV_16S)
    spread = cv2.meanStdDev(edges)[1][0, 0]
    return float(grey.mean()), float(spread**2)
