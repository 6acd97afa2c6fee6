"""A drawn line that tests of a file share."""

from __future__ import annotations

import pytest

from mmdefect.line.folder import Line
from tests.helpers.page_line import page_line


@pytest.fixture(scope='module')
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    return page_line(tmp_path_factory.mktemp('page'))
