"""The JSON lists that published incremental code reads, from a protocol.

::

    split/<k>_train.json      the products a step brings
    split/<k>_test.json       all products so far (cumulative)
    orisplit/train_<class>.json, test_<class>.json

``k`` is the number of products after the step: 10-1x5 gives ``10_train.json``,
``11_train.json`` and so on to ``15_test.json``. One JSON object a line, see
:mod:`mmdefect.datasets.anomaly.meta_file`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmdefect.datasets.anomaly.checks import file_errors
from mmdefect.datasets.anomaly.layout import (
    SPLITS,
    list_products,
    scan_products,
    untested_error,
)
from mmdefect.datasets.anomaly.meta_file import meta_lines
from mmdefect.utils.files import write_text

Lists = dict[str, list[str]]


def build_lists(root: Path, steps: Sequence[Sequence[str]]) -> tuple[Lists, list[str]]:
    """Find the images of a folder in the layout of MVTec-AD and build the lists.

    Returns:
        File name below the output folder -> lines, and one sentence an error.
    """
    list_products(root)  # for its message, should there be no such folder
    products = [name for step in steps for name in step]
    lines: dict[tuple[str, str], list[str]] = {}
    errors: list[str] = []
    for split in SPLITS:
        for product in products:
            scan = scan_products(root, [product], split)
            errors += scan.errors + file_errors(scan.images)
            errors += [untested_error(name, root) for name in scan.untested]
            lines[split, product] = meta_lines(scan.images, root)

    lists = {f'orisplit/{s}_{p}.json': found for (s, p), found in lines.items()}
    seen: list[str] = []
    for step in steps:
        seen += step
        for split, names in (('train', list(step)), ('test', seen)):
            lists[f'split/{len(seen)}_{split}.json'] = [
                line for name in names for line in lines[split, name]
            ]
    return lists, errors


def write_lists(lists: Lists, out: Path) -> None:
    """Write every list below a folder, replacing those of the same name."""
    for name, lines in lists.items():
        write_text(out / name, '\n'.join([*lines, '']))
