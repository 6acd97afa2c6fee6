"""Runs that were killed at random moments, as a table."""

from __future__ import annotations

from collections.abc import Mapping

from mmdefect.visualization.page import Table, markdown_table

COLUMNS = ('SIGKILL', 'SIGTERM', 'runs', 'wrong')


def is_reliability(metrics: Mapping[str, float]) -> bool:
    """Tell whether a results file holds ``kills/<task>/runs``."""
    return any(key.startswith('kills/') for key in metrics)


def reliability_lines(metrics: Mapping[str, float]) -> list[str]:
    """Return the lines of a Markdown table, a row a task and one of all."""
    tasks = dict.fromkeys(key.split('/')[1] for key in metrics)
    rows = [
        (task, *(f'{metrics[f"kills/{task}/{name}"]:.0f}' for name in COLUMNS))
        for task in tasks
    ]
    sums = [sum(metrics[f'kills/{task}/{name}'] for task in tasks) for name in COLUMNS]
    rows.append(('all', *(f'{value:.0f}' for value in sums)))
    header = ('task', 'SIGKILL', 'SIGTERM', 'runs that finished', 'not equal, or stale')
    return markdown_table(Table(header, rows, header[1:])).splitlines()
