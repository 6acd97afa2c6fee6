"""Commands of the pages on using what is trained: run, in order, as ``use.yml`` says.

A file a table, so that workers share them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.doc_commands import read_table

PLANS = read_table(Path(__file__).with_name('use.yml'))


@pytest.mark.slow
@pytest.mark.parametrize(
    'document', [d for d, p in PLANS.items() if any(c.runs for c in p.commands)]
)
def test_feature_commands_run(follow, document: str) -> None:
    follow(document)
