"""Test coverage of the package, room by room, from the report of coverage.py."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

KINDS = {'lines': 'statements', 'branches': 'branches'}


def coverage_metrics(report: Mapping[str, Any], gaps: int = 10) -> dict[str, float]:
    """Return what is covered of each room, and where most branches are missed.

    Args:
        report: Content of ``coverage json``, measured with ``--branch``.
        gaps: How many files to name.

    Returns:
        ``coverage/<room>/lines`` and ``/branches`` as fractions, ``coverage/all/...``,
        and ``gap/<file>``, the number of branches that no test takes.
    """
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    missed = {}
    for path, entry in report['files'].items():
        parts = PurePosixPath(path).parts
        room = parts[1] if len(parts) > 2 else 'top level'
        for name in (room, 'all'):
            sums[name].update(
                {k: v for k, v in entry['summary'].items() if isinstance(v, int)}
            )
        missed[path] = entry['summary']['missing_branches']
    metrics = {
        f'coverage/{room}/{kind}': _share(counts, kind)
        for room, counts in sorted(sums.items(), key=lambda item: item[0] == 'all')
        for kind in KINDS
    }
    worst = sorted(missed, key=lambda path: (-missed[path], path))[:gaps]
    return metrics | {f'gap/{path}': float(missed[path]) for path in worst}


def _share(counts: Mapping[str, int], kind: str) -> float:
    covered = counts['covered_lines' if kind == 'lines' else 'covered_branches']
    return covered / max(1, counts[f'num_{KINDS[kind]}'])
