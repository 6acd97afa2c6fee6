"""The end of a stream: a report that fails is named, and scores are shown anyway."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.streams import closing
from mmdefect.streams.closing import draw_report, sum_up
from tests.helpers.synthetic_stream import make_stream


def test_smoke_report_and_table(tmp_path: Path) -> None:
    said: list[str] = []
    work_dir = make_stream(tmp_path)
    sum_up(work_dir, lambda text, _: said.append(text))
    assert said[0] == f'report: {work_dir / "report/index.html"}'
    assert said[1].startswith('all scores, as in ')
    assert '| mean of old ' in said[1]


def test_feature_class_names_that_look_like_formulas(tmp_path: Path) -> None:
    """Matplotlib takes text between dollars for a formula, and fails on most."""
    work_dir = make_stream(tmp_path)
    for path in [*work_dir.glob('*.json'), *work_dir.glob('step_*/samples.json')]:
        text = path.read_text(encoding='utf-8').replace('crazing', '$\\\\frac$')
        path.write_text(text, encoding='utf-8')
    said: list[str] = []
    assert draw_report(work_dir, lambda text, _: said.append(text)) is None
    assert len(said) == 1


def test_exception_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(work_dir: Path) -> Path:
        raise KeyError('no such font')

    monkeypatch.setattr(closing, 'write_report', fail)
    said: list[str] = []
    work_dir = make_stream(tmp_path)
    message = r"the steps are done .* cannot be drawn: KeyError: 'no such font'; when"
    with pytest.raises(RuntimeError, match=message):
        sum_up(work_dir, lambda text, _: said.append(text))
    assert said[0].startswith("the report cannot be drawn (KeyError: 'no such font')")
    assert '| mean of old ' in said[1]
