"""Log of MMEngine, which does not propagate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    logger = MMLogger.get_current_instance()
    level = logger.level  # of whatever run was the last one in this process
    logger.setLevel(logging.INFO)
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)
    logger.setLevel(level)


@pytest.fixture
def warnings(log: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Warnings so far."""
    return lambda: [r.getMessage() for r in log.records if r.levelno == logging.WARNING]
