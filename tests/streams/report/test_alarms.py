"""Alarms and routing in the matrix, on the pages and in the log."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from mmdefect.functional.tolerance import tolerance_limit
from mmdefect.streams.anomaly import AnomalyStream
from mmdefect.streams.closing import summary_text
from mmdefect.streams.matrix import StreamMatrix
from mmdefect.streams.report.comparison import write_comparison
from mmdefect.streams.report.maps import ALARM_HEADER, alarm_section, alarm_table
from mmdefect.streams.report.stream import write_report
from mmdefect.streams.scoring import Scorer, _certified
from tests.helpers.synthetic_stream import NEW, OLD, make_stream

pytestmark = pytest.mark.usefixtures('undrawn')

ROW = ['20', '5.0 %', '2.0 %', '8', '25.0 %', '100.0 %']
ALARMS = {'false_alarm': 0.05, 'miss': 0.25, 'routing': 1.0}


def scalars(names, *, alarms=ALARMS) -> dict[str, float]:
    """As AnomalyMetric reports them."""
    values = dict.fromkeys(AnomalyStream.metrics, 0.75) | alarms
    values |= {'good_images': 20, 'defective_images': 8, 'certified': 0.02}
    return {f'anomaly/{m}/{name}': v for m, v in values.items() for name in names}


def recorded(work_dir, **kwargs) -> StreamMatrix:
    """What a stream of two steps writes."""
    stream = AnomalyStream(protocol=[OLD, NEW], classes=OLD + NEW)
    scorer = Scorer(name='memory', work_dir=work_dir, stream=stream)
    (work_dir / 'matrix.json').unlink(missing_ok=True)
    scorer.record(0, scalars(OLD, **kwargs), {})
    scorer.record(1, scalars(OLD + NEW, **kwargs), {})
    return StreamMatrix.load(work_dir / 'matrix.json')


def test_smoke_columns_of_the_matrix(tmp_path) -> None:
    """Only of models that decide."""
    matrix = recorded(tmp_path)
    assert matrix.metrics == [*AnomalyStream.metrics, *ALARMS]
    assert matrix.group(metric='routing', step=1, name='all') == 1
    assert matrix.scores(0, 'miss') == dict.fromkeys(OLD, 0.25)
    assert recorded(tmp_path, alarms={}).metrics == list(AnomalyStream.metrics)


def test_feature_report(tmp_path) -> None:
    work_dir = make_stream(tmp_path, 'memory')
    matrix = recorded(work_dir)
    assert alarm_table(matrix).rows == [[name, *ROW] for name in OLD + NEW]
    text = write_report(work_dir).with_name('report.md').read_text(encoding='utf-8')
    assert '## Alarms and routing' in text
    assert f'| {" | ".join(ALARM_HEADER)} |' in text
    assert f'| {" | ".join([NEW[0], *ROW])} |' in text
    assert 'false alarms all | misses all | routing all |' in text
    # They are no scores that are forgotten.
    numbers = text.split('## The stream in numbers')[1].split('##')[0]
    assert 'AUPRO |' in numbers
    assert 'misses' not in numbers
    assert 'false_alarm of all' in summary_text(matrix)


def test_feature_what_is_certified_of_a_model() -> None:
    """Beside the scores of a test; nothing of models without alarms."""
    some = tolerance_limit(torch.rand(59))
    model = SimpleNamespace(alarms=lambda: [some, None, tolerance_limit(torch.rand(5))])
    found = _certified(model, ['a', 'b', 'c'])
    assert found['anomaly/certified/a'] == 0.05
    assert math.isnan(found['anomaly/certified/b'])
    assert math.isnan(found['anomaly/certified/c'])
    assert _certified(object(), ['a']) == {}


def test_feature_report_without_alarms(tmp_path) -> None:
    work_dir = make_stream(tmp_path, 'iuf')
    matrix = recorded(work_dir, alarms={})
    assert alarm_section({'iuf': matrix}) is None
    text = write_report(work_dir).with_name('report.md').read_text(encoding='utf-8')
    assert 'larms' not in text


def test_feature_comparison(tmp_path) -> None:
    """Models that decide beside one that does not; an undefined value is a dash."""
    work_dirs = {name: make_stream(tmp_path, name) for name in ('memory', 'iuf')}
    recorded(work_dirs['memory'], alarms=ALARMS | {'miss': math.nan})
    recorded(work_dirs['iuf'], alarms={})
    page = write_comparison(work_dirs, tmp_path / 'out')
    text = page.with_name('comparison.md').read_text(encoding='utf-8')
    row = ['memory', OLD[0], *ROW[:4], '–', ROW[5]]
    assert f'| {" | ".join(row)} |' in text
    assert f'| iuf | {OLD[0]} | 20 |' not in text
