"""A clone with a reader's data, for tests that run the commands of a document."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers import warm_python
from tests.helpers.doc_commands import clone_to, read_tables, run_document
from tests.helpers.doc_data import DATA


@pytest.fixture(scope='session')
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of a ``python`` that has torch imported already."""
    # A socket's path is short: not below a test's folder.
    with warm_python.start(tmp_path_factory.mktemp('warm')) as programs:
        yield programs


@pytest.fixture
def follow(tmp_path: Path, warm: Path) -> Callable[[str], None]:
    """Return a function that runs a document's commands in a clone of its own."""

    def follow(document: str) -> None:
        plan = read_tables()[document]
        clone = clone_to(tmp_path / 'mmdefect')
        for folder, name in plan.data.items():
            DATA[name](clone / folder)
        programs = Path(sys.executable).parent if plan.cold else warm
        if wrong := run_document(document, plan, clone, programs):
            pytest.fail('\n\n'.join(wrong), pytrace=False)

    return follow
