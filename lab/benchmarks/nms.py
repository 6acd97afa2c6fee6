"""NMS in plain NumPy, which the stand-in for mmcv's operator is measured against."""

from __future__ import annotations

import numpy as np


def numpy_nms(
    boxes: np.ndarray, scores: np.ndarray, *, iou_threshold: float
) -> np.ndarray:
    """Keep the best box of every group that overlaps more than a threshold.

    Args:
        boxes: ``(N, 4)`` boxes ``x1, y1, x2, y2``.
        scores: ``(N,)``; among equal scores the lower index comes first.
        iou_threshold: A box is dropped when its IoU with a kept one is above this.

    Returns:
        ``(K,)`` indices of the kept boxes, best first.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    order = np.argsort(-scores, kind='stable')
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        overlap = np.clip(high - low, 0, None).prod(axis=1)
        ious = overlap / (areas[best] + areas[rest] - overlap)
        order = rest[ious <= iou_threshold]
    return np.array(kept, dtype=np.int64)


def random_boxes(
    count: int = 1000, *, size: int = 320, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes in an image of ``size`` pixels and their scores, float32."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 0.75 * size, (count, 2))
    extent = rng.uniform(0.05 * size, 0.25 * size, (count, 2))
    boxes = np.concatenate((corner, corner + extent), axis=1)
    return boxes.astype(np.float32), rng.random(count, dtype=np.float32)
