"""The report of a stream, whole and with pieces missing."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from mmdefect.streams.report import write_report
from mmdefect.streams.report_data import duration, listed, percent, read_stream
from tests.helpers.synthetic_stream import FORGETFUL, make_stream


def change_step(work_dir, step, **values) -> None:
    path = work_dir / 'stream.json'
    state = json.loads(path.read_text(encoding='utf-8'))
    state['steps'][step].update(values)
    path.write_text(json.dumps(state), encoding='utf-8')


def test_smoke(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    path = write_report(work_dir)
    assert path == work_dir / 'report' / 'index.html'
    html = path.read_text(encoding='utf-8')
    # (0.02 + 0.06 + 0) / (0.61 + 0.72 + 0.80) = 3.8 %
    assert (
        'After step 1 the model keeps 4 % of what it knew about crazing, inclusion, '
        'patches.' in html
    )
    assert 'It reaches AP50 72 % on the new classes' in html
    assert 'Not on this page' not in html
    # heat map, bars, two loss plots, three samples
    assert html.count('src="data:image/png;base64,') == 7
    for shown in ('step_1/finetune.py', '10123456789a', '1fedcba98765', '1 min 23 s'):
        assert shown in html


def test_feature_html_is_self_contained(tmp_path) -> None:
    html = write_report(make_stream(tmp_path)).read_text(encoding='utf-8')
    assert not re.search(r'https?://|<script|<link|@import|url\(', html)
    sources = re.findall(r'src="([^"]{0,22})', html)
    assert set(sources) == {'data:image/png;base64,'}
    assert html.count('<img alt="') == html.count('<img')


def test_feature_markdown_says_the_same(tmp_path) -> None:
    folder = write_report(make_stream(tmp_path)).parent
    text = (folder / 'report.md').read_text(encoding='utf-8')
    assert '**After step 1 the model keeps 4 % of what it knew' in text
    header = '| Step | Brings | State | AP50 old | AP50 new | AP50 all | Old kept |'
    assert header in text
    assert '| 0 | crazing, inclusion, patches | finished | – | 71.0 % |' in text
    pictures = re.findall(r'!\[[^]]+\]\(([^)]+)\)', text)
    assert len(pictures) == 7
    assert all((folder / name).is_file() for name in pictures)


def test_feature_missing_pieces_are_named(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    (work_dir / 'step_1' / 'samples.json').unlink()
    shutil.rmtree(work_dir / 'step_0' / '20260101_000000')
    shutil.rmtree(tmp_path / 'images')
    change_step(work_dir, 0, reused_from='work_dirs/teacher')
    html = write_report(work_dir).read_text(encoding='utf-8')
    for note in (
        'Step 1: no sample predictions (no samples.json in step_1',
        'Step 0: no loss curves, it was taken over from work_dirs/teacher',
        'plate_0.png&#x27;: the image file is not there any more',
    ):
        assert note in html
    assert 'reused' in html


def test_feature_unfinished_stream(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    matrix = json.loads((work_dir / 'matrix.json').read_text(encoding='utf-8'))
    del matrix['steps'][1]
    (work_dir / 'matrix.json').write_text(json.dumps(matrix), encoding='utf-8')
    change_step(work_dir, 1, state='running', checkpoint=None)
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert 'After step 0 the model finds crazing, inclusion, patches' in html
    assert 'Step 1: not finished (running)' in html
    assert 'Step 1: no scores in matrix.json' in html
    (work_dir / 'matrix.json').unlink()
    change_step(work_dir, 1, state='pending')
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert 'No step has been tested yet.' in html
    assert 'Step 1: not started yet.' in html


def test_feature_names_are_escaped(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    path = work_dir / 'stream.json'
    path.write_text(path.read_text(encoding='utf-8').replace('"finetune"', '"<b>&"'))
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert '<title>&lt;b&gt;&amp;</title>' in html


def test_feature_kept_compares_with_when_it_was_learned(tmp_path) -> None:
    record = read_stream(make_stream(tmp_path))
    assert record.kept(0) is None
    assert record.kept(1) == pytest.approx(sum(FORGETFUL[:3]) / 2.13)


def test_feature_undefined_scores_are_said(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    matrix = json.loads((work_dir / 'matrix.json').read_text(encoding='utf-8'))
    for entry in matrix['steps']:
        entry['per_class']['AP50']['inclusion'] = None
    (work_dir / 'matrix.json').write_text(json.dumps(matrix), encoding='utf-8')
    # The other old classes are compared: (0.02 + 0) / (0.61 + 0.80).
    assert read_stream(work_dir).kept(1) == pytest.approx(0.02 / 1.41)
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert 'AP50 of inclusion: undefined, left out of means' in html
    assert 'on all 5 of 6 that have a score' in html
    assert 'What it had before is not known' not in html


def test_feature_texts() -> None:
    assert [percent(v) for v in (0.12345, None, float('nan'))] == ['12.3 %', '–', '–']
    assert [duration(s) for s in (12.2, 200, 3725, None)] == [
        '12 s',
        '3 min 20 s',
        '1 h 02 min',
        '–',
    ]
    assert listed(['a', 'b', 'c'], limit=2) == 'a, b and 1 more'


def test_exception_no_stream(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r'holds no stream\.json'):
        write_report(tmp_path)
