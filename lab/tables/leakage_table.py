"""Near-duplicates of a dataset as two tables: the split, then its threshold."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mmdefect.visualization.page import Table, markdown_table

# What a threshold does, as the calibration names it.
COLUMNS = {
    'clusters': 'clusters',
    'largest': 'largest cluster, % of its class',
    'recall': 'siblings found, %',
    'stray': 'siblings in a wrong cluster, %',
    'leak': 'leaked test images, %',
}


def is_leakage(metrics: Mapping[str, float]) -> bool:
    """Tell whether a results file holds ``<method>/<threshold>/leak``."""
    return any(name.endswith('/leak') and of_a_threshold(name) for name in metrics)


def leakage_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return the lines of two Markdown tables."""
    tried = [name for name in metrics if of_a_threshold(name)]
    plain = {name: value for name, value in metrics.items() if name not in tried}
    rows = [
        (
            f'`{method}`',
            threshold,
            *(_cell(metrics, f'{method}/{threshold}', name) for name in COLUMNS),
        )
        for method, threshold in dict.fromkeys(
            tuple(name.split('/')[:2]) for name in tried
        )
    ]
    split = [(name, _number(value)) for name, value in plain.items()]
    numbers = ('threshold', *COLUMNS.values())
    tables = (
        Table(('measure', 'value'), split, ('value',)),
        Table(('method', *numbers), rows, numbers),
    )
    return '\n\n'.join(map(markdown_table, tables)).splitlines()


def of_a_threshold(name: str) -> bool:
    """Tell whether a metric is ``<method>/<threshold>/<column>``."""
    return re.fullmatch(r'[^/]+/[0-9.]+/[^/]+', name) is not None


def _cell(metrics: Mapping[str, float], row: str, column: str) -> str:
    value = metrics.get(f'{row}/{column}')
    if value is None:
        return '–'
    return f'{value:.0f}' if column == 'clusters' else f'{100 * value:.1f}'


def _number(value: float) -> str:
    return f'{value:.4g}' if value < 1 else f'{value:,.0f}'
