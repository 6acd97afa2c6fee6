"""The casting set: from vendor folders to a split without siblings across subsets.

Source: Kaggle ``ravirajsinh45/real-life-industrial-dataset-of-casting-product``. The
300x300 images were augmented before they were split, so photographs are looked for (see
:mod:`mmdefect.converters.near_duplicates`) and shared out whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdefect.converters.casting_split import split_clusters
from mmdefect.converters.near_duplicates.calibration import (
    THRESHOLDS,
    Row,
    sibling_maps,
    sweep,
)
from mmdefect.converters.near_duplicates.clusters import (
    connect,
    largest_share,
    leak,
    mixed_clusters,
)
from mmdefect.converters.near_duplicates.contact_sheet import choose_rows, contact_sheet
from mmdefect.converters.near_duplicates.descriptors import (
    Descriptors,
    describe_files,
    load_descriptors,
    save_descriptors,
)
from mmdefect.converters.near_duplicates.similarity import (
    Pairs,
    similar_pairs,
    similarity,
)
from mmdefect.converters.output import differing_totals
from mmdefect.datasets.casting.clusters import class_of_clusters
from mmdefect.datasets.casting.layout import (
    CASTING_CLASSES,
    CastingScan,
    broken_images,
    scan_originals,
    scan_vendor,
)
from mmdefect.datasets.casting.split import SUBSETS, SplitRow, count_subsets, file_hash
from mmdefect.datasets.images import refuse
from mmdefect.utils.checks import check_range
from mmdefect.utils.images import write_png

REAL_TOTALS = {
    'train/def_front': 3758,
    'train/ok_front': 2875,
    'test/def_front': 453,
    'test/ok_front': 262,
}
"""Images in the vendor's folders."""
THRESHOLD = 0.90
"""Similarity of siblings, calibrated on the vendor's images: see
``docs/results/casting_leakage.json``."""


@dataclass
class Study:
    """All images of a folder, and how alike they are.

    Args:
        scan: The images.
        hashes: First 16 hex digits of each file's SHA-256.
        found: Descriptors.
        pairs: Pairs that are alike, down to ``floor``.
        floor: Smallest similarity of ``pairs``.
        method: How similarity is measured.
    """

    scan: CastingScan
    hashes: list[str]
    found: Descriptors
    pairs: Pairs
    floor: float
    method: str = 'aligned'

    @property
    def labels(self) -> np.ndarray:
        """Class of each image."""
        return np.array([image.label for image in self.scan.images])

    @property
    def in_test(self) -> np.ndarray:
        """Whether an image is in the vendor's test split."""
        return np.array([image.vendor_split == 'test' for image in self.scan.images])

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [self.scan.path(image) for image in self.scan.images]

    def clusters(self, threshold: float) -> np.ndarray:
        """Cluster of each image, for a threshold from ``floor`` to 1."""
        check_range('threshold', threshold, self.floor, 1)
        return connect(len(self.hashes), self.pairs, threshold)


def scan_casting(
    root: Path, protocol: str, *, expect_real: bool = False
) -> CastingScan:
    """Find the images that a protocol is about.

    Raises:
        ValueError: If a class folder is missing, empty or holds other files, or the
            totals are expected to be real and differ.
    """
    scan = scan_originals(root) if protocol == 'part_level' else scan_vendor(root)
    if expect_real and protocol != 'part_level':
        counts = Counter(image.name.rpartition('/')[0] for image in scan.images)
        scan.errors += differing_totals(counts, REAL_TOTALS, title='set')
    refuse(scan.errors, where=str(root))
    return scan


def study(
    scan: CastingScan,
    *,
    cache: Path | None = None,
    floor: float = THRESHOLDS[0],
    method: str = 'aligned',
) -> Study:
    """Describe all images and find those that are alike, at least by ``floor``.

    Args:
        scan: The images.
        cache: File for descriptors, which take longer than anything else.
        floor: Smallest similarity that is looked for.
        method: One of :data:`mmdefect.converters.near_duplicates.similarity.METHODS`.
    """
    paths = [scan.path(image) for image in scan.images]
    hashes = [file_hash(path) for path in paths]
    found = None if cache is None else load_descriptors(cache, hashes)
    if found is None:
        # A split file vouches for its images, so all of them are decoded once.
        broken = broken_images(scan.folder, [image.name for image in scan.images])
        refuse(broken, where=str(scan.folder))
        found = describe_files(paths)
        if cache is not None:
            save_descriptors(cache, found, hashes)
    pairs = similar_pairs(found.maps, floor, method=method)
    return Study(scan, hashes, found, pairs, floor, method)


def make_split(what: Study, threshold: float, *, seed: int = 0) -> list[SplitRow]:
    """Share out whole clusters: one row an image, in the order of the scan."""
    clusters = what.clusters(threshold)
    subsets = split_clusters(clusters, what.labels, seed=seed)
    names = [image.name for image in what.scan.images]
    columns = zip(names, what.hashes, clusters.tolist(), subsets, strict=True)
    return [SplitRow(*row) for row in columns]


def calibrate(what: Study, *, siblings: int = 500, seed: int = 0) -> list[Row]:
    """Measure every threshold with siblings made on purpose."""
    sources, maps = sibling_maps(what.paths, number=siblings, seed=seed)
    alike = similarity(maps, what.found.maps, method=what.method)
    return sweep(
        what.pairs,
        what.labels,
        sources=sources,
        siblings=alike,
        test=what.in_test,
    )


def measure(what: Study, threshold: float) -> dict[str, float]:
    """Numbers on clusters and on what the vendor's split leaks.

    Returns:
        Flat names: ``images``, ``clusters``, ``clusters/<class>``, ``largest`` (how
        many images), ``largest_share`` (of its class), ``singletons``, ``mixed``
        (clusters of two classes), ``mixed_images`` (of the rarer class there),
        ``identical`` (files that repeat another one, byte for byte),
        ``without_opening`` (images unrolled around their middle); and of the vendor's
        split ``leak`` (share of test images with siblings in train), ``clean_test``
        (test images without) and ``identical_test`` (test images that are a training
        image, byte for byte).
    """
    clusters, labels, test = what.clusters(threshold), what.labels, what.in_test
    sizes = np.bincount(clusters)
    kinds = class_of_clusters(clusters, labels)
    mixed = np.isin(clusters, mixed_clusters(clusters, labels))
    copies = Counter(what.hashes)
    found: dict[str, float] = {
        'images': len(labels),
        'clusters': len(sizes),
        **{
            f'clusters/{name}': int((kinds == label).sum())
            for label, name in enumerate(CASTING_CLASSES)
        },
        'largest': int(sizes.max()),
        'largest_share': largest_share(clusters, labels),
        'singletons': int((sizes == 1).sum()),
        'mixed': len(mixed_clusters(clusters, labels)),
        'mixed_images': int((mixed & (labels != kinds[clusters])).sum()),
        'identical': sum(copies[name] - 1 for name in copies),
        'without_opening': len(what.found.guessed),
    }
    if test.any():
        train = {name for name, t in zip(what.hashes, test, strict=True) if not t}
        found['leak'] = leak(clusters, test, ~test)
        found['clean_test'] = int((~np.isin(clusters[test], clusters[~test])).sum())
        found['identical_test'] = sum(
            name in train for name, t in zip(what.hashes, test, strict=True) if t
        )
    return found


def describe_split(rows: Sequence[SplitRow], scan: CastingScan) -> dict[str, float]:
    """Images and clusters of each class in each subset, under flat names."""
    splits = {row.path: row.split for row in rows}
    found: dict[str, float] = {}
    for subset, numbers in count_subsets(splits, scan.images).items():
        for name, number in zip(CASTING_CLASSES, numbers, strict=True):
            found[f'{subset}/{name}'] = number
    cluster = {row.path: row.cluster for row in rows}
    for subset in SUBSETS:
        for label, name in enumerate(CASTING_CLASSES):
            found[f'{subset}/{name}/clusters'] = len(
                {
                    cluster[image.name]
                    for image in scan.images
                    if image.label == label and splits[image.name] == subset
                }
            )
    return found


def write_contact_sheet(what: Study, threshold: float, path: Path) -> None:
    """Write clusters as a picture."""
    sheet = contact_sheet(what.paths, what.found, choose_rows(what.clusters(threshold)))
    write_png(path, sheet)
