"""A test that outgrows the fast tier fails with its name and what to do."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from pluggy import Result

from tests.helpers import tiers


def after(spent: float, *, slow: bool = False) -> BaseException | None:
    """What becomes of a test that passed after so many seconds."""
    seconds = iter([1.0, 1.0 + spent])
    item = SimpleNamespace(nodeid='a::test', get_closest_marker=lambda name: slow)
    outcome = Result.from_call(lambda: None)
    # Undone at once: the clock of this very test is the same.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiers, 'cpu_seconds', lambda: next(seconds))
        call = tiers.pytest_runtest_call(item)
        next(call)
        with pytest.raises(StopIteration):
            call.send(outcome)
    return outcome.exception


def test_exception_a_fast_test_has_grown() -> None:
    error = after(6.5)
    assert isinstance(error, pytest.fail.Exception)
    assert str(error).startswith(
        'a::test took 6.50 s of the processor: expected at most 5'
    )
    assert 'mark it slow' in str(error)


def test_feature_within_the_limit_or_slow() -> None:
    assert after(4.9) is None
    assert after(60.0, slow=True) is None


def test_feature_children_count() -> None:
    before = tiers.cpu_seconds()
    code = 'import time\nwhile time.process_time() < 0.3: pass'
    subprocess.run([sys.executable, '-c', code], check=True)
    assert tiers.cpu_seconds() - before >= 0.3
