"""Clusters of images that show one photograph, and what a split leaks through them."""

from __future__ import annotations

import numpy as np

from mmdefect.converters.near_duplicates.similarity import Pairs


def connect(number: int, pairs: Pairs, threshold: float) -> np.ndarray:
    """Connected components of the pairs that are at least as alike as ``threshold``.

    Returns:
        Cluster of each image, int64, numbered from 0 in the order of first members.
    """
    alike = pairs.similarity >= threshold
    first, second = pairs.first[alike], pairs.second[alike]
    root = np.arange(number)
    while True:
        lowest = np.minimum(root[first], root[second])
        before = root.copy()
        np.minimum.at(root, before[first], lowest)
        np.minimum.at(root, before[second], lowest)
        root = root[root]
        if np.array_equal(root, before):
            return np.unique(root, return_inverse=True)[1]


def largest_share(clusters: np.ndarray, labels: np.ndarray) -> float:
    """Largest share of its class that one cluster holds.

    Where it is large, whole classes have been merged.
    """
    return max(
        float(np.bincount(clusters[labels == label]).max() / (labels == label).sum())
        for label in np.unique(labels)
    )


def mixed_clusters(clusters: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Clusters that hold images of more than one class.

    Returns:
        Their numbers, sorted.
    """
    kinds = np.unique(np.stack([clusters, labels]), axis=1)[0]
    return np.flatnonzero(np.bincount(kinds) > 1)


def leak(clusters: np.ndarray, test: np.ndarray, train: np.ndarray) -> float:
    """Share of test images whose cluster has training images too, NaN without any.

    All three are one value an image; ``test`` and ``train`` say whether it is in the
    subset.
    """
    if not test.any():
        return float('nan')
    return float(np.isin(clusters[test], clusters[train]).mean())
