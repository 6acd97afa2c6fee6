"""Anomaly metrics as they are usually computed, and maps to compute them from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmdefect.evaluation.anomaly_pixels import ImageRecord, PixelHistograms
from mmdefect.functional.ranking import Ranking

SIZE = 256
GRID = 14
#: Of the images; MVTec AD's test set has 1,258 defective ones of 1,725.
DEFECTIVE = 0.73
FPR_LIMIT = 0.3
THRESHOLDS = 200


def random_records(count: int, *, size: int = SIZE, seed: int = 0) -> list[ImageRecord]:
    """Return images as a model would judge them, about 0.7 % of their pixels defects.

    A map is noise on a 14 x 14 grid, resized as a model resizes its map, with a bump at
    every defect; defects are one to three ellipses on most images.

    Args:
        count: Number of images.
        size: Height and width of maps and masks in pixels.
        seed: Of everything random.
    """
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((count, 1, GRID, GRID), dtype=np.float32))
    maps = F.interpolate(
        1 + 2 * coarse, size=(size, size), mode='bilinear', align_corners=True
    )[:, 0]
    records = []
    for index, pixels in enumerate(maps):
        mask = torch.zeros(size, size, dtype=torch.bool)
        defective = index < round(DEFECTIVE * count)
        for _ in range(rng.integers(1, 4) if defective else 0):
            distance = _ellipse(size, rng)
            mask |= distance < 1
            pixels += 1.5 * (-distance / 2).exp()
        records.append(
            ImageRecord(
                product='random',
                label=int(defective),
                score=float(pixels.max()),
                outlined=True,
                pixels=pixels.contiguous(),
                mask=mask,
            )
        )
    return records


def _ellipse(size: int, rng: np.random.Generator) -> Tensor:
    """Squared distance from a random centre in units of the radii."""
    centre = rng.uniform(0.1, 0.9, 2) * size
    radius = rng.uniform(0.02, 0.06, 2) * size
    rows, columns = (
        torch.from_numpy(((np.arange(size) - middle) / extent) ** 2).float()
        for middle, extent in zip(centre, radius, strict=True)
    )
    return rows[:, None] + columns


def flat_pixels(records: Sequence[ImageRecord], *, rounded: bool) -> tuple[Any, Any]:
    """Return scores, float32, and labels, bool, of all pixels of all records."""
    scores = torch.cat([record.scores(True).flatten() for record in records])
    labels = torch.cat([_mask(record).flatten() for record in records])
    return (scores.half().float() if rounded else scores), labels


def streamed(records: Sequence[ImageRecord]) -> Ranking:
    """Rank the pixels as :class:`AnomalyMetric` does with ``mode='streaming'``."""
    histograms = PixelHistograms(1)
    for record in records:
        histograms.add(0, record, align_corners=True)
    return histograms.ranking(0)


def sklearn_auroc() -> Callable[[np.ndarray, np.ndarray], float]:
    """Return scikit-learn's ``roc_auc_score``.

    Raises:
        RuntimeError: If scikit-learn is not installed.
    """
    try:
        module: Any = import_module('sklearn.metrics')
    except ImportError as error:
        raise RuntimeError(
            'scikit-learn is not installed: expected it, to measure the AUROC beside '
            'its own; install mmdefect[bench], or leave the AUROC out with --only'
        ) from error
    return module.roc_auc_score


def threshold_aupro(
    maps: np.ndarray,
    masks: np.ndarray,
    *,
    thresholds: int = THRESHOLDS,
    fpr_limit: float = FPR_LIMIT,
) -> float:
    """Per-region overlap from binary maps at a number of thresholds.

    What most published code does, but regions are labelled once and not at every
    threshold, and only the pixels of a region are looked at.

    Args:
        maps: Anomaly maps, shape ``(N, H, W)``.
        masks: Defect pixels, bool, same shape.
        thresholds: Evenly spaced from the lowest score to the highest.
        fpr_limit: False positive rate up to which it is integrated.

    Returns:
        The area divided by the limit, in [0, 1].
    """
    regions = _region_places(masks)
    normal = ~masks
    num_normals = normal.sum()
    rates, overlaps = [], []
    for threshold in np.linspace(maps.max(), maps.min(), thresholds):
        found = maps >= threshold
        shares = [found[image].ravel()[places].mean() for image, places in regions]
        overlaps.append(np.mean(shares))
        rates.append(np.logical_and(found, normal).sum() / num_normals)
    below = np.searchsorted(rates, fpr_limit)
    rates, overlaps = [0.0, *rates], [0.0, *overlaps]
    last = np.interp(fpr_limit, rates, overlaps)
    x = np.array([*rates[: below + 1], fpr_limit])
    y = np.array([*overlaps[: below + 1], last])
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / fpr_limit)


def _region_places(masks: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Image and places in the flattened image of every region."""
    places = []
    for image, mask in enumerate(masks):
        count, names = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        flat = names.ravel()
        places += [(image, np.flatnonzero(flat == name)) for name in range(1, count)]
    return places


def stacked_pixels(records: Sequence[ImageRecord]) -> tuple[np.ndarray, np.ndarray]:
    """Return maps, float32, and masks, bool, of shape ``(N, H, W)``."""
    maps = torch.stack([record.scores(True) for record in records])
    return maps.numpy(), torch.stack([_mask(record) for record in records]).numpy()


def _mask(record: ImageRecord) -> Tensor:
    if record.mask is None:
        raise ValueError('record.mask=None: expected a mask')
    return record.mask
