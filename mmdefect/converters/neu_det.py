"""NEU-DET (Song and Yan, 2013; boxes by He et al., 2020): VOC XML to COCO JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from mmdefect.converters.coco import ImageRecord, Report, build_coco
from mmdefect.converters.output import differing_totals
from mmdefect.converters.voc import identical_files, read_voc_folder, stratified_split
from mmdefect.datasets.boxes.classes import NEU_DET_CLASSES
from mmdefect.utils.checks import name_some, repeated
from mmdefect.utils.text_files import inner_path, read_text_file

REAL_TOTALS = {
    'images': 1800,
    'crazing': 689,
    'inclusion': 1011,
    'patches': 881,
    'pitted_surface': 432,
    'rolled-in_scale': 628,
    'scratches': 548,
}
"""Images and boxes of the published files, three exact duplicates included."""

Split = tuple[list[str], list[str]]
Converted = dict[str, tuple[dict[str, Any], Report]]


def committed_split() -> Split:
    """The stratified 80/20 split of the real set: train and test stems, sorted."""
    folder = files('mmdefect.datasets') / 'splits'
    train, test = (
        (folder / f'neu_det_{side}.txt').read_text(encoding='utf-8').split()
        for side in ('train', 'test')
    )
    return train, test


def read_split_list(path: Path) -> list[str]:
    """Read stems (or file names, or paths) from a user's list, one a line.

    Raises:
        FileNotFoundError: If the list is not there.
        ValueError: If it is no text, or names something else than files.
    """
    names = read_text_file(path, 'split list').split()
    return [
        PurePosixPath(inner_path(n, str(path))).name.removesuffix('.jpg') for n in names
    ]


def choose_split(
    names: Sequence[str],
    *,
    lists: Split | None = None,
    test_ratio: float = 0.2,
    seed: int = 0,
    train_only: Sequence[str] = (),
) -> tuple[Split, str]:
    """Choose a user's lists, the committed lists, or a computed stratified split.

    Args:
        names: Stems of the images found.
        lists: Train and test stems of the user.
        test_ratio: Share of a computed split.
        seed: Seed of a computed split.
        train_only: Stems that a computed split keeps out of the test list.

    Returns:
        The split and a note that says where it comes from.
    """
    if lists is not None:
        _check_lists(names, lists)
        return lists, 'split by the lists given'
    committed = committed_split()
    if set(names) == {*committed[0], *committed[1]}:
        return committed, 'split by the committed lists'
    split = stratified_split(
        names, test_ratio=test_ratio, seed=seed, train_only=train_only
    )
    return split, f'stratified split with seed {seed}, test ratio {test_ratio}'


def _check_lists(names: Sequence[str], lists: Split) -> None:
    listed = {*lists[0], *lists[1]}
    problems = {
        'unknown images': sorted(listed - set(names)),
        'images listed twice': sorted(repeated([*lists[0], *lists[1]])),
        'images not listed': sorted(set(names) - listed),
    }
    found = [f'{what} ({name_some(n)})' for what, n in problems.items() if n]
    if found:
        raise ValueError(
            f'the split lists have {", ".join(found)}: expected every image exactly '
            'once in either list; correct the lists'
        )


def convert_neu_det(
    root: Path,
    *,
    lists: Split | None = None,
    test_ratio: float = 0.2,
    seed: int = 0,
    expect_real: bool = False,
    exif: str | None = None,
) -> Converted:
    """Read the folders and build the COCO files of both splits.

    Args:
        root: Folder with ``IMAGES`` and ``ANNOTATIONS``.
        lists: Train and test stems of the user, instead of the committed ones.
        test_ratio: Share of a computed split.
        seed: Seed of a computed split.
        expect_real: Whether to compare the totals with those of the real set.
        exif: See :func:`mmdefect.utils.images.is_turned`.

    Returns:
        ``{'train': (coco, report), 'test': ...}``; errors that concern the whole set
        stand in the report of ``train``.
    """
    records, errors = read_voc_folder(root, exif=exif)
    by_stem = {Path(record.file_name).stem: record for record in records}
    twins = identical_files(root / record.file_name for record in records)
    (train, test), note = choose_split(
        sorted(by_stem),
        lists=lists,
        test_ratio=test_ratio,
        seed=seed,
        train_only=[stem for group in twins for stem in group],
    )
    converted = {
        side: build_coco([by_stem[n] for n in stems], NEU_DET_CLASSES, title=side)
        for side, stems in (('train', train), ('test', test))
    }
    report = converted['train'][1]
    report.notes.append(note)
    for group in twins:
        apart = set(group) & set(train) and set(group) & set(test)
        where = 'in DIFFERENT splits' if apart else 'in the same split'
        report.notes.append(f'{" and ".join(group)} are the same file, {where}')
    report.errors += errors
    if expect_real:
        report.errors += differing_totals(totals(records), REAL_TOTALS, title='NEU-DET')
    return converted


def totals(records: Sequence[ImageRecord]) -> dict[str, int]:
    """Number of images, and of the boxes of each class there."""
    boxes = Counter(name for record in records for name, _ in record.objects)
    return {'images': len(records), **boxes}
