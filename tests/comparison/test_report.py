"""Table, plots and page of several classifiers."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import pytest

from mmdefect.comparison.report import (
    HEADER,
    by_protocol,
    comparison_table,
    read_rows,
    write_classifiers,
)
from tests.helpers.study_runs import PERFECT, WorkDir


def test_feature_table(make_run: WorkDir) -> None:
    rows = read_rows(
        [
            make_run('luna'),
            make_run('resnet18', PERFECT, model='resnet18', freeze='head', trainable=9),
        ]
    )
    table = comparison_table(rows)
    first, second = (dict(zip(HEADER, cells, strict=True)) for cells in table.rows)
    assert first['classifier'] == 'luna'
    assert first['errors'] == '2 of 4'
    # Wilson's interval of 2 errors in 4, by hand: centre 1/2, half width
    # z / (1 + z^2 / 4) * sqrt(1 / 16 + z^2 / 64) with z = 1.96.
    assert first['accuracy, % (95 % interval)'] == '50.00 (15.0–85.0)'
    assert (first['misses'], first['false alarms']) == ('1 of 2', '1 of 2')
    assert first['p against the best'] == '0.500'
    assert first['ms an image, p50 / p95'] == '3.2 / 4.5'
    assert second['classifier'] == 'resnet18 head'
    assert second['p against the best'] == '–'
    assert second['trained / all parameters'] == '9 / 115,088'


def test_feature_splits_stay_apart(make_run: WorkDir, tmp_path: Path) -> None:
    rows = read_rows([make_run('a'), make_run('b', PERFECT, protocol='legacy')])
    assert list(by_protocol(rows)) == ['cluster_level', 'legacy']
    page = write_classifiers(rows, tmp_path / 'out')
    text = (tmp_path / 'out/comparison.md').read_text(encoding='utf-8')
    assert page.is_file()
    assert 'Split: cluster_level' in text
    assert 'Split: legacy' in text
    assert 'luna has the fewest errors on legacy: 0 of 4' in text
    for protocol in ('cluster_level', 'legacy'):
        for what in ('parameters', 'latency'):
            assert (tmp_path / f'out/{protocol}_{what}.png').stat().st_size > 1000


def test_exception_nothing_or_unfinished(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='expected one classifier or more'):
        read_rows([])
    with pytest.raises(FileNotFoundError, match=r'test\.jsonl'):
        read_rows([tmp_path])


def test_feature_names_stay_text(make_run: WorkDir, tmp_path: Path) -> None:
    """No name of a model, a split or a command becomes HTML, a formula or a path."""
    hostile = r'<script>alert(1)</script> $\frac{$'
    given = {'model': hostile, 'protocol': '../../x', 'command': f'a {hostile}'}
    page = write_classifiers(read_rows([make_run('a', **given)]), tmp_path / 'out')
    html = page.read_text(encoding='utf-8')
    assert escape(hostile) in html
    assert '<script' not in html
    text = (tmp_path / 'out/comparison.md').read_text(encoding='utf-8')
    assert not re.search(r'(?<!\\)<script', text)
    assert len(list((tmp_path / 'out').glob('*.png'))) == 3
