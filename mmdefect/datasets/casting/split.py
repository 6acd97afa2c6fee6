"""Who is in train, val and test: the vendor's split, and split files with hashes.

A split file is a CSV with the columns ``path,sha256,cluster,split``: the path relative
to the folder of the set, the first 16 hex digits of the file's SHA-256, the cluster of
images that show one photograph, and train, val or test. No cluster is in two subsets.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple

import torch

from mmdefect.datasets.casting.clusters import crossing_clusters
from mmdefect.datasets.casting.layout import CASTING_CLASSES, CastingImage
from mmdefect.utils.checks import brief, name_some, repeated, visible
from mmdefect.utils.text_files import inner_path, read_csv

SUBSETS = ('train', 'val', 'test')
PROTOCOLS = ('legacy', 'cluster_level', 'part_level')
COLUMNS = ('path', 'sha256', 'cluster', 'split')


class SplitRow(NamedTuple):
    """One image of a split file; see the module."""

    path: str
    sha256: str
    cluster: int
    split: str


def file_hash(path: str | Path) -> str:
    """First 16 hex digits of a file's SHA-256."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def split_file_name(protocol: str) -> str:
    """What a split file is called, next to the data and in the package."""
    return f'casting_{protocol}.csv'


def legacy_split(images: Sequence[CastingImage], seed: int = 42) -> dict[str, str]:
    """The vendor's split, whose test images have siblings in train; name -> subset.

    As the published study: 90 % of the vendor's training images are trained on
    (``round(0.9 n)``: 5,970 of 6,633), the others are for validation.
    """
    found = {i.name: 'test' for i in images if i.vendor_split == 'test'}
    names = [i.name for i in images if i.vendor_split != 'test']
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    number = round(0.9 * len(names))
    for rank, index in enumerate(order.tolist()):
        found[names[index]] = 'train' if rank < number else 'val'
    return found


def committed_rows() -> list[SplitRow]:
    """The split of the vendor's 7,348 images that comes with this package."""
    name = split_file_name('cluster_level')
    with as_file(files('mmdefect.datasets') / 'splits' / name) as path:
        return read_split(path)


def write_split(path: Path, rows: Iterable[SplitRow]) -> None:
    """Write a split file, sorted by path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(COLUMNS)
        writer.writerows(sorted(rows))


def read_split(path: Path) -> list[SplitRow]:
    """Read a split file and check that it can be trusted.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If a line cannot be understood, a path is there twice, or a cluster
            is in more than one subset.
    """
    if not path.exists():
        raise FileNotFoundError(
            f'there is no split file {path}: expected the columns '
            f'{",".join(COLUMNS)}; make it with tools/dataset_converters/casting.py '
            'DATA_ROOT --protocol PROTOCOL'
        )
    lines = read_csv(path, 'split file')
    if not lines or tuple(lines[0]) != COLUMNS:
        raise ValueError(
            f'{path} starts with {brief(lines[0]) if lines else "nothing"}: expected '
            f'the columns {",".join(COLUMNS)}; make it again'
        )
    rows = [_parse(line, path, number) for number, line in enumerate(lines[1:], 2)]
    names = [row.path for row in rows]
    if twice := sorted(repeated(names)):
        raise ValueError(
            f'{path} names images twice ({name_some(twice)}): expected each once; '
            'make it again'
        )
    crossing = crossing_clusters([r.cluster for r in rows], [r.split for r in rows])
    if crossing:
        raise ValueError(
            f'{path} has clusters in more than one subset '
            f'({name_some([str(c) for c in crossing])}): expected all siblings of an '
            'image in its own subset; make it again'
        )
    return rows


def _parse(line: Sequence[str], path: Path, number: int) -> SplitRow:
    where = f'{path} line {number}'
    whole = len(line) == len(COLUMNS) and line[2].isdecimal() and len(line[2]) < 10
    if whole and line[3] in SUBSETS:
        return SplitRow(inner_path(line[0], where), line[1], int(line[2]), line[3])
    raise ValueError(
        f'{where} is {visible(",".join(line)[:80])!r}: expected {",".join(COLUMNS)} '
        f'with a whole number and one of {", ".join(SUBSETS)}; make it again'
    )


def difference(rows: Sequence[SplitRow], images: Sequence[CastingImage]) -> str | None:
    """Say how the files of a folder differ from those of a split file.

    Returns:
        Half a sentence that names the first one, or None when they are the same.
    """
    listed, there = {row.path for row in rows}, {image.name for image in images}
    for what, names in (
        ('lacks {} of the split file', listed - there),
        ('has {} that the split file does not know', there - listed),
    ):
        if names:
            more = f' and {len(names) - 1} more' if len(names) > 1 else ''
            return what.format(min(names)) + more
    return None


def changed_files(rows: Sequence[SplitRow], folder: Path) -> list[str]:
    """Names of the files whose content is not what the split file was made from."""
    return [row.path for row in rows if file_hash(folder / row.path) != row.sha256]


def count_subsets(
    splits: Mapping[str, str], images: Sequence[CastingImage]
) -> dict[str, list[int]]:
    """Count the defective and the ok images of each subset."""
    found = {subset: [0] * len(CASTING_CLASSES) for subset in SUBSETS}
    for image in images:
        found[splits[image.name]][image.label] += 1
    return found
