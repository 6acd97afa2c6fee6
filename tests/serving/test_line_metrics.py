"""What Prometheus is told of a line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry

from mmdefect.line import reference
from mmdefect.line.folder import Line
from mmdefect.line.promote import promote
from mmdefect.line.status import status
from mmdefect.serving.app import create_app
from mmdefect.serving.line_metrics import LineMetrics
from mmdefect.serving.models import Models
from tests.helpers.drawn_line import drawn_rows, from_day
from tests.helpers.hand_package import hand_package
from tests.helpers.served import ShadeBackend, write_package


@pytest.fixture
def line(tmp_path: Path) -> Line:
    made = Line.create(tmp_path / 'line')
    package = hand_package(tmp_path / 'package', 'maps', default_threshold=0.75)
    promote(made, package.folder)
    made.log.append_many(drawn_rows(8, 80, brightness=from_day(5, 120, 100)))
    made.log.append('verdict', decision='missed', version='v0001')
    return made


def test_smoke(line: Line) -> None:
    registry = CollectorRegistry()
    metrics = LineMetrics(registry)
    reference.keep(line, reference.of_log(line, '2026-10-01', '2026-10-04'))
    for _ in range(2):  # as often as it is asked for
        metrics.update(status(line))

    def told(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f'mmdefect_line_{name}', labels)

    brightness = {'measure': 'brightness', 'product': '', 'version': ''}
    score = {'measure': 'score', 'product': '', 'version': 'v0001'}
    assert told('version_info', version='v0001') == 1
    assert told('queue') == 0
    assert math.isnan(told('verified') or 0)
    assert told('verdicts', verdict='missed') == 1
    assert told('unverified_rows') == 1 + 8 * 80 + 1 + 1  # promotion, verdict, note
    assert told('out_of_band', **brightness) == 1
    assert told('out_of_band', **score) == 0
    assert told('drift', **brightness) > 0.25
    # 2026-10-06 and 2026-10-08
    assert told('out_since_seconds', **brightness) == 1_791_244_800
    assert told('drift_day_seconds', **brightness) == 1_791_417_600
    assert told('out_since_seconds', **score) is None


def test_feature_undecided_is_no_number(line: Line) -> None:
    registry = CollectorRegistry()
    metrics = LineMetrics(registry)
    (usual,) = reference.of_log(line, '2026-10-01', '2026-10-01')
    reference.keep(line, [usual])
    few = Line(line.folder)
    few.settings = type(few.settings)(drift=type(few.settings.drift)(least=100))
    metrics.update(status(few))
    labels = {'measure': 'brightness', 'product': '', 'version': ''}
    assert math.isnan(
        registry.get_sample_value('mmdefect_line_out_of_band', labels) or 0
    )
    assert registry.get_sample_value('mmdefect_line_drift', labels) is None


def test_feature_a_server_of_a_line_tells_it(tmp_path: Path) -> None:
    """A line that cannot be read costs no other number."""
    line = Line.create(tmp_path / 'my_line')
    write_package(line.versions_dir / 'v0001', 'scratch')
    line.pointer.symlink_to('versions/v0001')
    app = create_app(Models([], open_model=ShadeBackend, line=line))
    with TestClient(app) as client:
        told = client.get('/metrics').text
        assert 'mmdefect_line_version_info{version="v0001"} 1.0' in told
        assert 'reason="line"' not in told
        (line.folder / reference.FILE).write_text('{}')
        told = client.get('/metrics').text
    assert 'mmdefect_errors_total{reason="line"} 1.0' in told
    assert 'mmdefect_line_version_info{version="v0001"} 1.0' in told
