"""Sharing out whole clusters of siblings between train, val and test."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmdefect.datasets.casting.clusters import class_of_clusters
from mmdefect.datasets.casting.layout import CASTING_CLASSES
from mmdefect.datasets.casting.split import SUBSETS

SHARES = (0.7, 0.1, 0.2)
"""Of the clusters of each class, in the order of ``SUBSETS``."""


_SHUFFLES = 4096


def split_clusters(
    clusters: np.ndarray,
    labels: np.ndarray,
    *,
    shares: Sequence[float] = SHARES,
    seed: int = 0,
) -> list[str]:
    """Share out whole clusters, class by class, to the subset of each image.

    The number of clusters in each subset is fixed; which ones is the best of many
    seeded shuffles, the one whose shares of images are nearest to the wanted ones.

    Args:
        clusters: Cluster of each image, from 0, shape (N,).
        labels: Class of each image, shape (N,). A cluster with images of two classes
            counts as its commonest one and stays together.
        shares: Of train, val and test.
        seed: Which shuffles are tried.

    Raises:
        ValueError: If a class has fewer clusters than there are subsets.
    """
    sizes = np.bincount(clusters)
    kinds = class_of_clusters(clusters, labels)
    subset = np.zeros(len(sizes), np.int64)
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        own = np.flatnonzero(kinds == label)
        if len(own) < len(shares):
            raise ValueError(
                f'the class {CASTING_CLASSES[label]} has {len(own)} different parts: '
                f'expected at least {len(shares)}, one for each of '
                f'{", ".join(SUBSETS)}; add images of other parts, or use the legacy '
                'protocol'
            )
        subset[own] = _share_out(sizes[own], shares, rng)
    return [SUBSETS[subset[cluster]] for cluster in clusters]


def _share_out(
    sizes: np.ndarray, shares: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """Subset of each cluster of one class."""
    number = len(sizes)
    few = [max(1, round(share * number)) for share in shares[1:]]
    slots = np.repeat(np.arange(len(shares)), [number - sum(few), *few])
    wanted = np.asarray(shares) * sizes.sum()
    best, chosen = np.inf, slots
    for _ in range(_SHUFFLES):
        tried = rng.permutation(slots)
        images = np.bincount(tried, weights=sizes, minlength=len(shares))
        off = float(np.abs(images - wanted).sum())
        if off < best:
            best, chosen = off, tried
    return chosen
