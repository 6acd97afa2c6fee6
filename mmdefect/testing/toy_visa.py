"""A toy VisA: some of its products with painted defects, on disk as the real set."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmdefect.converters.visa import COLUMNS
from mmdefect.datasets.anomaly.classes import VISA_CLASSES
from mmdefect.testing.textures import write_picture
from mmdefect.testing.toy_products import PRODUCTS, Looks, spoil, surface
from mmdefect.utils.checks import check_known, check_range

Row = tuple[str, str, str, str, str]


def make_toy_visa(
    root: str | Path,
    *,
    seed: int = 0,
    size: int = 64,
    classes: Sequence[str] = ('candle', 'pcb1', 'pipe_fryum'),
    train: int = 4,
    test: int = 4,
) -> Path:
    """Write ``candle/Data/Images/Normal/0000.JPG`` etc. and ``split_csv/1cls.csv``.

    Masks hold 1, 2 or 3 for the kind of the defect.

    Args:
        root: Folder to write to, e.g. ``data/toy/VisA``; it is returned.
        seed: Source of all randomness.
        size: Height and width of the images in pixels.
        classes: At most six products of VisA.
        train: Normal training images of each.
        test: Normal test images of each, and as many anomalies.
    """
    check_known(classes, VISA_CLASSES, what='classes')
    check_range('number of classes', len(classes), 1, len(PRODUCTS))
    check_range('train', train, 1)
    check_range('test', test, 1)
    root = Path(root)
    rows: list[Row] = []
    for index, (product, looks) in enumerate(
        zip(classes, PRODUCTS.values(), strict=False)
    ):
        rows += _write_normal(root, product, looks, [seed, index, 0], size, train, test)
        rows += _write_anomalies(root, product, looks, [seed, index, 1], size, test)
    path = root / 'split_csv' / '1cls.csv'
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', encoding='utf-8', newline='') as file:
        csv.writer(file, lineterminator='\n').writerows([COLUMNS, *rows])
    return root


def _write_normal(
    root: Path,
    product: str,
    looks: Looks,
    seed: list[int],
    size: int,
    train: int,
    test: int,
) -> list[Row]:
    rows = []
    for i in range(train + test):
        rng = np.random.default_rng([*seed, i])
        name = f'{product}/Data/Images/Normal/{i:04d}.JPG'
        write_picture(root / name, surface(looks[0], rng, size))
        rows.append((product, 'train' if i < train else 'test', 'normal', name, ''))
    return rows


def _write_anomalies(
    root: Path, product: str, looks: Looks, seed: list[int], size: int, number: int
) -> list[Row]:
    texture, defects = looks
    kinds = list(defects)
    rows = []
    for i in range(number):
        rng = np.random.default_rng([*seed, i])
        kind = i % len(kinds)
        image, shape = spoil(rng, surface(texture, rng, size), defects[kinds[kind]])
        name = f'{product}/Data/Images/Anomaly/{i:03d}.JPG'
        mask = f'{product}/Data/Masks/Anomaly/{i:03d}.png'
        write_picture(root / name, image)
        write_picture(root / mask, shape * (kind + 1))
        rows.append((product, 'test', 'anomaly', name, mask))
    return rows
