"""A step of two products, trained once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.anomaly.conftest import train_base


@pytest.fixture(scope='session')
def base_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_base(tmp_path_factory.mktemp('base') / 'work')
