"""Scalars that MMEngine's local visualiser wrote while training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Series = tuple[list[float], list[float]]


def read_scalars(work_dir: str | Path) -> list[dict[str, Any]]:
    """Read ``<timestamp>/vis_data/scalars.json`` of an ordinary work dir.

    A resumed run has several time stamps; iterations that a later one repeats are taken
    from the later one. A line that a kill cut in the middle is left out.

    Args:
        work_dir: Work dir of one run (a step of a stream is one).

    Returns:
        One dict per logged line, in order; empty when nothing was logged.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        later = [
            row
            for line in path.read_text(encoding='utf-8').splitlines()
            if (row := _row(line))
        ]
        starts = [row['step'] for row in later if is_training(row)]
        if starts:
            rows = [
                row for row in rows if not is_training(row) or row['step'] < starts[0]
            ]
        rows += later
    return rows


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and 'step' in row else None


def is_training(row: Mapping[str, Any]) -> bool:
    """Tell lines of training from lines of validation."""
    return 'loss' in row


def series(rows: Iterable[Mapping[str, Any]], keys: Iterable[str]) -> dict[str, Series]:
    """Collect curves over iterations; keys that were never logged are left out."""
    rows = list(rows)
    found = {
        key: (
            [row['step'] for row in rows if key in row],
            [row[key] for row in rows if key in row],
        )
        for key in keys
    }
    return {key: curve for key, curve in found.items() if curve[0]}


def loss_series(rows: Iterable[Mapping[str, Any]]) -> dict[str, Series]:
    """Collect the total loss and every loss term, the total first."""
    rows = [row for row in rows if is_training(row)]
    terms = sorted({key for row in rows for key in row if 'loss' in key} - {'loss'})
    return series(rows, ['loss', *terms])
