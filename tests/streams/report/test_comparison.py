"""Several streams on one page."""

from __future__ import annotations

import re
import shutil

import pytest

from mmdefect.streams.report.comparison import (
    comparison_table,
    read_streams,
    write_comparison,
)
from tests.helpers.synthetic_stream import make_stream

pytestmark = pytest.mark.usefixtures('undrawn')

GOOD = [0.62, 0.70, 0.79, 0.72, 0.64, 0.83]


@pytest.fixture
def work_dirs(tmp_path) -> dict:
    return {
        'finetune': make_stream(tmp_path),
        'joint': make_stream(tmp_path, 'joint', last=GOOD),
    }


def test_smoke(work_dirs, tmp_path) -> None:
    path = write_comparison(work_dirs, tmp_path / 'out')
    assert path == tmp_path / 'out' / 'index.html'
    html = path.read_text(encoding='utf-8')
    assert 'finetune keeps 4 %.' in html
    assert 'joint keeps' not in html
    assert 'Not on this page' not in html
    # bars, two heat maps, three samples of four panels each
    assert html.count('src="data:image/png;base64,') == 1 + 2 + 3 * 4
    for panel in ('ground truth', 'teacher', 'finetune', 'joint'):
        assert f'alt="plate_0.png: {panel}"' in html
    assert not re.search(r'https?://|<script|<link', html)
    assert '| teacher | 71.0 % |' in (tmp_path / 'out' / 'comparison.md').read_text(
        encoding='utf-8'
    )


def test_feature_table(work_dirs) -> None:
    table = comparison_table(read_streams(work_dirs))
    assert table.header[-1] == 'Points below joint'
    assert [list(row) for row in table.rows] == [
        ['teacher', '71.0 %', '–', '–', '–', '–'],
        # 71.67 - 37.5 = 34.2 points
        ['finetune', '2.7 %', '72.3 %', '37.5 %', '4 %', '34.2'],
        ['joint', '70.3 %', '73.0 %', '71.7 %', '99 %', '–'],
    ]


def test_feature_without_joint_there_is_no_gap(work_dirs) -> None:
    del work_dirs['joint']
    assert comparison_table(read_streams(work_dirs)).header[-1] == 'Old kept'


def test_feature_what_is_missing(work_dirs, tmp_path) -> None:
    """Another teacher is named; curves are not, for the page shows none."""
    shutil.rmtree(work_dirs['joint'] / 'step_0' / '20260101_000000')
    path = work_dirs['joint'] / 'stream.json'
    path.write_text(path.read_text(encoding='utf-8').replace('0fedcba98', '7fedcba98'))
    html = write_comparison(work_dirs, tmp_path / 'out').read_text(encoding='utf-8')
    missing = html[html.index('Not on this page') : html.index('</ul>')]
    assert missing.count('<li>') == 1
    assert 'A common teacher: the models of step 0 differ' in missing


def test_exception_no_scores(work_dirs, tmp_path) -> None:
    (work_dirs['joint'] / 'matrix.json').unlink()
    with pytest.raises(ValueError, match='joint has no scores yet'):
        write_comparison(work_dirs, tmp_path / 'out')
    with pytest.raises(ValueError, match=r'work_dirs=.*: expected one at least'):
        write_comparison({}, tmp_path / 'out')
