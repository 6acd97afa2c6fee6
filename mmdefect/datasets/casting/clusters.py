"""Clusters of sibling photographs: their class, and splits that cut through them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np


def class_of_clusters(clusters: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Commonest class of each cluster, the smaller label where two are equal.

    Returns:
        Shape (number of clusters,).
    """
    table = np.zeros((clusters.max() + 1, labels.max() + 1), np.int64)
    np.add.at(table, (clusters, labels), 1)
    return table.argmax(axis=1)


def crossing_clusters(clusters: Sequence[int], subsets: Sequence[str]) -> list[int]:
    """Sorted clusters with images in more than one subset, which no split may have."""
    seen = Counter(cluster for cluster, _ in set(zip(clusters, subsets, strict=True)))
    return sorted(cluster for cluster, times in seen.items() if times > 1)
