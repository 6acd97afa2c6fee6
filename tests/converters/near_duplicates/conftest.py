"""A few toy castings with their descriptors, made once for all leakage tests."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mmdefect.converters.near_duplicates.descriptors import Descriptors, describe_files
from mmdefect.datasets.casting.layout import scan_vendor
from mmdefect.testing import make_toy_casting

PARTS, COPIES = 4, 4


class Toy(NamedTuple):
    """Files, which part each shows, its class, and what describes it."""

    paths: list[Path]
    parts: np.ndarray
    labels: np.ndarray
    found: Descriptors


@pytest.fixture(scope='session')
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """32 images of 64 px: four copies each of eight parts; read-only."""
    root = tmp_path_factory.mktemp('toy') / 'casting'
    make_toy_casting(root, parts=PARTS, copies=COPIES, size=64)
    scan = scan_vendor(root)
    paths = [scan.path(image) for image in scan.images]
    labels = np.array([image.label for image in scan.images])
    numbers = np.array([int(path.stem.rpartition('_')[2]) for path in paths])
    return Toy(paths, numbers // COPIES + PARTS * labels, labels, describe_files(paths))
