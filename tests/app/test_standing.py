"""The state of a line and its reports, as HTML."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mmdefect.app.desk import Desk
from mmdefect.app.reports import links, reports
from mmdefect.app.standing import standing
from mmdefect.line.folder import Line
from tests.helpers.page_line import THRESHOLDS, package


def test_feature_versions_drift_and_reports(line: Line) -> None:
    html = standing(Desk(line.folder))
    assert 'v0002 in use' in html
    assert 'out of its band: brightness' in html
    assert '4 wait for a verdict' in html
    out = re.search(r'<td>brightness[^<]*</td><td>([^<]*)</td>', html)
    assert out is not None
    assert out[1].startswith('out of its band since 2026-05-1')
    assert html.count('<figure class="chart">') == 2
    assert html.count('href="/report/promotion') == 2


def test_smoke_a_new_line(tmp_path: Path) -> None:
    Line.create(tmp_path / 'new')
    html = standing(Desk(tmp_path / 'new'))
    assert 'no version in use' in html
    assert 'drift is not judged' in html


def test_feature_the_report_of_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found beside the checkpoint that a package was exported from."""
    monkeypatch.chdir(tmp_path)
    folder = package(tmp_path / 'plates', THRESHOLDS[0])
    described = json.loads((folder / 'package.json').read_text())
    described['about'] = {'checkpoint': 'work/my_stream/step_1/epoch_2.pth'}
    (folder / 'package.json').write_text(json.dumps(described))
    desk = Desk(folder)
    assert links(desk) == ''
    page = tmp_path / 'work/my_stream/report/index.html'
    page.parent.mkdir(parents=True)
    page.write_text('<h1>')
    assert reports(desk) == {'stream my_stream': page}
    assert 'href="/report/stream%20my_stream"' in links(desk)
