from __future__ import annotations

import pytest

from mmdefect.utils.checks import check_choice


def test_smoke():
    check_choice('init', 'scratch', ('previous', 'scratch'))


def test_exception():
    message = "^stream.init is 'new': expected one of previous, scratch$"
    with pytest.raises(ValueError, match=message):
        check_choice('stream.init', 'new', ('previous', 'scratch'))
