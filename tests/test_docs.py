"""Every table in the documents says what its results file says."""

from __future__ import annotations

from pathlib import Path

from mmdefect.utils.results_table import render_documents

ROOT = Path(__file__).parents[1]


def test_smoke() -> None:
    old = render_documents(ROOT, check=True)
    assert old == [], 'run tools/misc/render_results.py'
