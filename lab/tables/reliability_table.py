"""Runs that were killed, and files that were damaged, at random, as tables."""

from __future__ import annotations

from collections.abc import Mapping

from mmdefect.visualization.page import Table, markdown_table

COLUMNS = {
    'kills': {
        'SIGKILL': 'SIGKILL',
        'SIGTERM': 'SIGTERM',
        'runs': 'runs that finished',
        'wrong': 'not equal, or stale',
    },
    'fuzz': {
        'inputs': 'damaged files',
        'refused': 'refused in one sentence',
        'wrong': 'anything else',
    },
}
WHAT = {'kills': 'task', 'fuzz': 'kind of file'}


def is_reliability(metrics: Mapping[str, float]) -> bool:
    """Tell whether a results file holds ``kills/<task>/...`` or ``fuzz/<kind>/...``."""
    return any(key.split('/')[0] in COLUMNS for key in metrics)


def reliability_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return the lines of a Markdown table, a row a task or kind and one of all."""
    group = next(iter(metrics)).split('/')[0]
    columns = COLUMNS[group]
    names = dict.fromkeys(key.split('/')[1] for key in metrics)
    rows = [
        (name, *(f'{metrics[f"{group}/{name}/{column}"]:.0f}' for column in columns))
        for name in names
    ]
    sums = [sum(metrics[f'{group}/{n}/{column}'] for n in names) for column in columns]
    rows.append(('all', *(f'{value:.0f}' for value in sums)))
    header = (WHAT[group], *columns.values())
    return markdown_table(Table(header, rows, header[1:])).splitlines()
