"""What the tests cover as two tables: rooms, then the files with the largest gaps."""

from __future__ import annotations

from collections.abc import Mapping

from lab.coverage import KINDS
from mmdefect.visualization.page import Table, markdown_table


def is_coverage(metrics: Mapping[str, float]) -> bool:
    """Tell whether a results file holds ``coverage/all/branches``."""
    return 'coverage/all/branches' in metrics


def coverage_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return the lines of two Markdown tables."""
    rooms = dict.fromkeys(k.split('/')[1] for k in metrics if k.startswith('coverage/'))
    kinds = [f'{kind}, %' for kind in KINDS]
    covered = [
        (room, *(f'{100 * metrics[f"coverage/{room}/{kind}"]:.1f}' for kind in KINDS))
        for room in rooms
    ]
    gaps = [
        (f'`{name.removeprefix("gap/")}`', f'{value:.0f}')
        for name, value in metrics.items()
        if name.startswith('gap/')
    ]
    tables = (
        Table(('room', *kinds), covered, tuple(kinds)),
        Table(('most branches missed in', 'branches'), gaps, ('branches',)),
    )
    return '\n\n'.join(map(markdown_table, tables)).splitlines()
