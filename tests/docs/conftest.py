"""A clone with a reader's data, for tests that run the commands of a document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PROGRAMS
from tests.helpers.doc_commands import clone_to, read_tables, run_document
from tests.helpers.doc_data import DATA


@pytest.fixture
def follow(tmp_path: Path, warm: Path) -> Callable[[str], None]:
    """Return a function that runs a document's commands in a clone of its own."""

    def follow(document: str) -> None:
        plan = read_tables()[document]
        clone = clone_to(tmp_path / 'mmdefect')
        for folder, name in plan.data.items():
            DATA[name](clone / folder)
        programs = PROGRAMS if plan.cold else warm
        if wrong := run_document(document, plan, clone, programs):
            pytest.fail('\n\n'.join(wrong), pytrace=False)

    return follow
