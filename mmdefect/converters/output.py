"""The end of every converter: print the summary, and write only what is sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmdefect.converters.coco import Report
from mmdefect.datasets.boxes.class_split import cooccurrence_table
from mmdefect.datasets.boxes.coco_file import save_json


def finish(
    converted: Mapping[str, tuple[dict[str, Any], Report]],
    out: Path,
    *,
    steps: Sequence[Sequence[str]] | None = None,
) -> int:
    """Print reports and the co-occurrence table of the first split, then write.

    Args:
        converted: Name of the split -> COCO dictionary and its report.
        out: Folder for ``<split>.json``.
        steps: Classes of each step, for the table; None for no table.

    Returns:
        The exit status: 0, or 1 when a report holds an error; nothing is written then.
    """
    for _, report in converted.values():
        print(report)
    if any(report.errors for _, report in converted.values()):
        print('Nothing written: see the errors above.')
        return 1
    if steps is not None:
        print(f'\n{cooccurrence_table(next(iter(converted.values()))[0], steps)}\n')
    for name, (coco, _) in converted.items():
        save_json(coco, out / f'{name}.json')
        print(f'wrote {out / name}.json')
    return 0
