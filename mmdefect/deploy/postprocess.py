"""From what a graph puts out to boxes and maps of the original image, in NumPy.

The numbers, and the order in which float32 is rounded, are those of mmdet's dense heads
(``_predict_by_feat_single``, ``_bbox_post_process``) and of mmcv's ``batched_nms``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from mmdefect.deploy.outputs import BoxOutput


def finish_boxes(
    scores: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    *,
    size: tuple[int, int],
    scale: tuple[float, float],
    settings: Mapping[str, Any],
) -> BoxOutput:
    """Boxes of one image.

    Args:
        scores: Of each level ``(A, C)`` float32, probabilities.
        boxes: Of each level ``(A, 4)`` float32, x1, y1, x2, y2 in pixels of the input.
        size: Width and height of the input before padding.
        scale: By which width and height of the original image were multiplied.
        settings: ``score_threshold``, ``nms_pre``, ``iou_threshold``, ``nms_offset``,
            ``class_agnostic``, ``max_per_image``, ``min_box_size``; where it is there,
            ``suppress_across``: of boxes of different classes whose IoU is above this,
            the best is kept.
    """
    levels = [
        _best(level_scores, level_boxes, settings)
        for level_scores, level_boxes in zip(scores, boxes, strict=True)
    ]
    found, values, labels = map(np.concatenate, zip(*levels, strict=True))
    found[:, 0::2] = found[:, 0::2].clip(0, np.float32(size[0]))
    found[:, 1::2] = found[:, 1::2].clip(0, np.float32(size[1]))
    found = found * np.array([1 / scale[0], 1 / scale[1]] * 2, np.float32)
    least = settings['min_box_size']
    if least >= 0:
        wide, high = (found[:, 2:] - found[:, :2]).T
        large = (wide > least) & (high > least)
        found, values, labels = found[large], values[large], labels[large]
    kept = batched_nms(
        found,
        values,
        labels,
        iou_threshold=settings['iou_threshold'],
        offset=settings['nms_offset'],
        class_agnostic=settings['class_agnostic'],
        most=settings['max_per_image'],
    )
    across = settings.get('suppress_across')
    if across is not None:
        boxes_left = found[kept], values[kept], labels[kept]
        kept = kept[batched_nms(*boxes_left, iou_threshold=across, class_agnostic=True)]
    return BoxOutput(boxes=found[kept], scores=values[kept], labels=labels[kept])


def batched_nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    iou_threshold: float,
    offset: int = 0,
    class_agnostic: bool = False,
    most: int = -1,
) -> np.ndarray:
    """Keep the best box of each group that overlaps, class by class.

    Args:
        boxes: ``(N, 4)`` float32.
        scores: ``(N,)``; among equal ones the lower index comes first.
        labels: ``(N,)``.
        iou_threshold: A box goes when its IoU with a kept one is above this.
        offset: Added to widths and heights, 0 or 1.
        class_agnostic: Whether boxes of different classes suppress each other.
        most: How many are kept; -1 for all.

    Returns:
        Indices, the best first, int64.
    """
    if not len(boxes):
        return np.zeros(0, np.int64)
    apart = boxes
    if not class_agnostic:
        # Moved apart as mmcv does it: the sums round, and with them some IoU.
        step = boxes.max() + np.float32(1)
        apart = boxes + (labels.astype(np.float32) * step)[:, None]
    order = np.argsort(-scores, kind='stable')
    sides = np.ascontiguousarray(apart[order].T)
    # Boxes of different classes have nothing to do with each other.
    groups: list[np.ndarray] = [np.arange(len(order))]
    if not class_agnostic:
        sorted_labels = labels[order]
        groups = [np.flatnonzero(sorted_labels == one) for one in np.unique(labels)]
    kept = [place for g in groups for place in _unlike(sides, g, iou_threshold, offset)]
    places = np.sort(np.array(kept, np.int64))
    return order[places if most < 0 else places[:most]]


def _unlike(
    sides: np.ndarray, places: np.ndarray, iou_threshold: float, offset: int
) -> list[int]:
    """Places of the best box of each group that overlaps, 256 boxes at a time."""
    kept: list[int] = []
    while len(places):
        some, rest = places[:256], places[256:]
        close = overlaps(sides[:, some], sides[:, places], offset) > iou_threshold
        gone = np.zeros(len(places), bool)
        for number, place in enumerate(some.tolist()):
            if not gone[number]:
                kept.append(place)
                gone |= close[number]
        places = rest[~gone[len(some) :]]
    return kept


def overlaps(ours: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """Intersection over union of boxes ``(4, N)`` and ``(4, M)``, shape ``(N, M)``."""
    left, top, right, bottom = ours[:, :, None]
    x1, y1, x2, y2 = others
    wide = np.minimum(right, x2) - np.maximum(left, x1) + offset
    high = np.minimum(bottom, y2) - np.maximum(top, y1) + offset
    shared = np.maximum(wide, 0) * np.maximum(high, 0)
    ours_area = (right - left + offset) * (bottom - top + offset)
    area = (x2 - x1 + offset) * (y2 - y1 + offset)
    # Of two empty boxes 0 / 0, which suppresses nothing.
    with np.errstate(invalid='ignore', divide='ignore'):
        return shared / (ours_area + area - shared)


def finish_map(
    anomaly_map: np.ndarray, size: tuple[int, int], sigma: float | None = None
) -> np.ndarray:
    """Enlarge a map ``(h, w)`` to the original image's width and height.

    Args:
        anomaly_map: float32.
        size: Width and height.
        sigma: Deviation of the Gaussian that smooths it then, in pixels; None for maps
            that come smooth enough, of which an equal one is returned as it is.
    """
    if sigma is not None:
        rows = _enlarging(anomaly_map.shape[0], size[1], sigma)
        columns = _enlarging(anomaly_map.shape[1], size[0], sigma)
        return rows @ anomaly_map @ columns.T
    if anomaly_map.shape == (size[1], size[0]):
        return anomaly_map
    return cv2.resize(anomaly_map, size, interpolation=cv2.INTER_LINEAR)


@lru_cache(maxsize=64)
def _enlarging(source: int, target: int, sigma: float) -> np.ndarray:
    """What enlarges a line of values and smooths it, float32 ``(target, source)``.

    Linear between the centres of cells, then a Gaussian whose weights at a border sum
    to one, too: as :func:`mmdefect.functional.maps.enlarging_matrix` of the model.
    """
    places = (np.arange(target) + 0.5) * source / target - 0.5
    distance = np.abs(places.clip(0, source - 1)[:, None] - np.arange(source))
    matrix = np.maximum(1 - distance, 0)
    if sigma > 0:
        reach = math.ceil(5 * sigma)
        bell = np.exp(-np.square(np.arange(-reach, reach + 1) / sigma) / 2)
        whole = np.hstack([matrix, np.ones((target, 1))])
        drawn = cv2.filter2D(whole, -1, bell[:, None], borderType=cv2.BORDER_CONSTANT)
        matrix = drawn[:, :-1] / drawn[:, -1:]
    return matrix.astype(np.float32)


def _best(
    scores: np.ndarray, boxes: np.ndarray, settings: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and labels of one level that are looked at, the best first."""
    places, labels = np.nonzero(scores > np.float32(settings['score_threshold']))
    values = scores[places, labels]
    order = np.argsort(-values, kind='stable')
    if settings['nms_pre'] > 0:
        order = order[: settings['nms_pre']]
    return boxes[places[order]], values[order], labels[order].astype(np.int64)
