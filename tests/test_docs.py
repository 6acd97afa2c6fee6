"""Every table in the documents says what its results file says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.tables.results_table import render_documents

ROOT = Path(__file__).parents[1]


def test_smoke() -> None:
    old = render_documents(ROOT, check=True)
    assert old == [], 'run tools/misc/render_results.py'


@pytest.mark.parametrize(
    'path',
    [p for p in sorted((ROOT / 'docs/results').glob('*.json')) if p.stem != 'paper'],
)
def test_feature_every_result_is_shown(path) -> None:
    """A measured table that no document renders would be lost."""
    if not any(
        key.endswith('/all')
        for key in json.loads(path.read_text(encoding='utf-8'))['metrics']
    ):
        pytest.skip('not a table of presets')
    pages = [ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md')]
    assert any(
        f'<!-- results:{path.stem} -->' in page.read_text(encoding='utf-8')
        for page in pages
    )
