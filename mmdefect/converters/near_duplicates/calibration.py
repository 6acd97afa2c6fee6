"""Choose the threshold of similarity with siblings that are made on purpose.

Two goals: siblings fall into the cluster of their source, and no cluster swallows its
class. The lowest threshold that keeps the largest cluster small is taken: merging two
photographs that look alike costs a little variety, separating two siblings costs the
honesty of every number that follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from mmdefect.converters.near_duplicates.clusters import connect, largest_share, leak
from mmdefect.converters.near_duplicates.descriptors import describe, read_grey
from mmdefect.converters.near_duplicates.similarity import Pairs

THRESHOLDS = tuple(round(0.70 + 0.01 * step, 2) for step in range(30))
"""Similarities that are tried."""
BRIGHTNESS = (0.8, 1.2)
"""Factors of a sibling's brightness."""


class Row(NamedTuple):
    """What a threshold does.

    Args:
        threshold: Smallest similarity that connects.
        clusters: How many there are.
        largest: Share of its class that the largest cluster holds.
        recall: Share of siblings connected with the cluster of their source.
        direct: Share of siblings connected with their source itself.
        stray: Share of siblings connected with another cluster.
        leak: Share of the vendor's test images whose cluster has training images.
    """

    threshold: float
    clusters: int
    largest: float
    recall: float
    direct: float
    stray: float
    leak: float


def make_sibling(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Change an image, shape (H, W), uint8, as the vendor did, and a little more.

    Rotation by any angle with the border repeated, flips, brightness with clipping,
    nearest or linear sampling, and a JPEG round trip.
    """
    height, width = image.shape
    middle = ((width - 1) / 2, (height - 1) / 2)
    warp = cv2.getRotationMatrix2D(middle, rng.uniform(0, 360), 1.0)
    how = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
    found = cv2.warpAffine(
        image, warp, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE
    )
    if rng.random() < 0.5:
        found = found[:, ::-1]
    if rng.random() < 0.5:
        found = found[::-1]
    found = np.clip(found * rng.uniform(*BRIGHTNESS), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 96))]
    packed = cv2.imencode('.jpg', np.ascontiguousarray(found), quality)[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE))


def sibling_maps(
    paths: Sequence[str | Path], *, number: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Make one sibling each of some images, drawn without repetition, and describe it.

    Returns:
        Indices of the sources, shape (number,); maps of the siblings, shape (number,
        rings, angles).
    """
    if not 0 < number <= len(paths):
        raise ValueError(
            f'siblings={number}: expected 1 to {len(paths)}, one an image; change '
            '--siblings'
        )
    rng = np.random.default_rng(seed)
    sources = np.sort(rng.choice(len(paths), number, replace=False))
    maps = [describe(make_sibling(read_grey(paths[i]), rng)) for i in sources]
    return sources, np.stack(maps)


def sweep(
    pairs: Pairs,
    labels: np.ndarray,
    *,
    sources: np.ndarray,
    siblings: np.ndarray,
    test: np.ndarray,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[Row]:
    """Measure what every threshold does.

    Args:
        pairs: Similar images, down to the lowest threshold.
        labels: Class of each image, shape (N,).
        sources: Index of each sibling's source, shape (S,).
        siblings: Similarity of siblings with all images, shape (S, N).
        test: Whether an image is in the vendor's test split, bool, shape (N,).
        thresholds: Which ones to try.
    """
    rows = []
    each = np.arange(len(sources))
    for threshold in thresholds:
        clusters = connect(len(labels), pairs, threshold)
        alike = siblings >= threshold
        own = clusters[None] == clusters[sources][:, None]
        rows.append(
            Row(
                threshold=threshold,
                clusters=int(clusters.max()) + 1,
                largest=largest_share(clusters, labels),
                recall=float((alike & own).any(1).mean()),
                direct=float(alike[each, sources].mean()),
                stray=float((alike & ~own).any(1).mean()),
                leak=leak(clusters, test, ~test),
            )
        )
    return rows


def choose(rows: Sequence[Row], *, recall: float = 0.995, largest: float = 0.15) -> Row:
    """The lowest threshold at which both goals are met.

    Args:
        rows: What :func:`sweep` found.
        recall: Share of siblings that must fall into the cluster of their source.
        largest: Share of its class that every cluster must stay below.

    Raises:
        ValueError: If no threshold meets both, with the nearest that was measured.
    """
    met = [row for row in rows if row.recall >= recall and row.largest < largest]
    if met:
        return min(met, key=lambda row: row.threshold)
    near = max(rows, key=lambda row: (row.largest < largest, row.recall))
    raise ValueError(
        f'no threshold has {recall:.1%} of the siblings in the cluster of their '
        f'source and the largest cluster below {largest:.0%} of its class: expected '
        f'both, the nearest is {near.threshold:g} with {near.recall:.1%} and '
        f'{near.largest:.1%}; use images or a descriptor that differ more'
    )
