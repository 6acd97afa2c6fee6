"""The line suite at a hundredth of its size; no test asserts a time."""

from __future__ import annotations

import math

import pytest

from lab.benchmarks.line import LineSuite, drawn_rows
from tests.conftest import REPO


@pytest.fixture(scope='module')
def suite() -> LineSuite:
    return LineSuite(configs=REPO / 'configs', pairs=10, images=5, rows=10_000)


@pytest.mark.slow
def test_smoke_every_measurement(suite: LineSuite) -> None:
    found: dict[str, float] = {}
    for measure in suite.comparisons.values():
        found |= measure(None)
    assert suite.comparisons.keys() < found.keys()
    assert all(math.isfinite(value) and value > 0 for value in found.values())
    assert found['promote_decodes_per_image'] == 1
    assert '10,000 rows of 90 days' in suite.notes


def test_feature_rows_are_of_many_days_and_kinds() -> None:
    rows = [*drawn_rows(0, 400, of=400)]
    assert len(rows) == 400
    decisions = [row for row in rows if row['kind'] == 'decision']
    verdicts = [row for row in rows if row['kind'] == 'verdict']
    images = {row['image'] for row in decisions}
    assert len(decisions) == 396
    assert len(images) == 392  # four are looked at by both
    assert {row['image'] for row in verdicts} < images
    assert [row['decision'] for row in verdicts] == [*['confirmed'] * 3, 'missed']
    assert len({row['time'].date() for row in rows}) == 90
    assert {row['version'] for row in rows} == {'v0001', 'v0002'}
