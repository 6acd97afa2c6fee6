"""The fast tier stays fast: a test that outgrows it fails; a run says what it took."""

from __future__ import annotations

import gc
import os
import resource
import time
from collections.abc import Generator
from importlib import import_module
from typing import Any

import pytest

# Seconds of the processor, its children's too: other work on the machine hardly counts.
LIMIT = 5.0
STARTED = time.monotonic()


def cpu_seconds() -> float:
    """What this process and those that it has waited for have computed."""
    used = [
        resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Look no more for garbage in what is imported, nor in what trainings import.

    MMEngine collects garbage for every dataset that it builds, a stream for every step.
    """
    items = session.items  # some alone may need nothing of it
    if len(items) > 500 or any(item.get_closest_marker('slow') for item in items):
        for name in ('mmdefect', 'mmdet.apis', 'mmpretrain.apis'):
            import_module(name)
    gc.freeze()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    before = cpu_seconds()
    outcome = yield
    spent = cpu_seconds() - before
    if (
        spent > LIMIT
        and outcome.exception is None
        and not item.get_closest_marker('slow')
    ):
        message = (
            f'{item.nodeid} took {spent:.2f} s of the processor: expected at most '
            f'{LIMIT:g} in the fast tier; make it smaller, share what it sets up, or '
            'mark it slow and say why in the docstring of the file'
        )
        outcome.force_exception(pytest.fail.Exception(message, pytrace=False))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    load = ' '.join(f'{value:.1f}' for value in os.getloadavg())
    terminalreporter.section('what this run took')
    terminalreporter.line(
        f'{time.monotonic() - STARTED:.0f} s of wall time on {os.cpu_count()} cores, '
        f'load average {load}'
    )
