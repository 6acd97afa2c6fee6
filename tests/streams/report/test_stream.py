"""The report of a stream, whole and with pieces missing."""

from __future__ import annotations

import json
import re
import shutil
from html import escape

import pytest

from mmdefect.streams.report.record import (
    duration,
    kept_said,
    listed,
    percent,
    read_stream,
)
from mmdefect.streams.report.stream import write_report
from mmdefect.visualization.page import Table, in_words, markdown_table
from tests.helpers.synthetic_stream import FORGETFUL, NEW, make_stream


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
    # heat map, bars, two loss plots, three samples beside their truth after two steps
    assert html.count('src="data:image/png;base64,') == 2 + 2 + 3 * 3
    # Theory comes last, folded.
    assert html.index('Loss while training') < html.index('The stream in numbers')
    assert html.index('<details>') < html.index('What these numbers mean')
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
    assert len(pictures) == 13
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


def rename(work_dir, old: str, new: str) -> None:
    """Give a class, a file or the stream another name in every record."""
    for path in work_dir.rglob('*.json'):
        text = path.read_text(encoding='utf-8')
        path.write_text(text.replace(old, json.dumps(new)[1:-1]), encoding='utf-8')


def test_feature_names_are_escaped(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    rename(work_dir, 'finetune', '<b>&')
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert '<title>&lt;b&gt;&amp;</title>' in html


@pytest.mark.parametrize(
    'name',
    [
        '<script>alert(1)</script>',
        '"><img src=x onerror=alert(1)>',
        r'a|b $\frac{$ [link](x) \n',
        'scratch_on_the_upper_side_of_the_plate_' + 30 * 'x',
    ],
)
def test_feature_names_stay_text(name, tmp_path) -> None:
    """No class or file name becomes HTML, a formula, or another column."""
    work_dir = make_stream(tmp_path)
    image = tmp_path / 'images' / name.replace('/', ':')
    (tmp_path / 'images' / 'plate_0.png').rename(image)
    rename(work_dir, 'crazing', name)
    rename(work_dir, 'plate_0.png', image.name)
    page = write_report(work_dir)
    html = page.read_text(encoding='utf-8')
    assert escape(name) in html
    assert f'<figcaption>{escape(image.name)}</figcaption>' in html
    tags = re.findall(r'<(\w+)[^>]*?( on\w+=)?[^>]*>', html)
    assert not {tag for tag, _ in tags} & {'script', 'b'}
    assert len(re.findall('<img', html)) == 13
    text = (page.parent / 'report.md').read_text(encoding='utf-8')
    assert not re.search(r'(?<!\\)<(script|img)', text)
    (row,) = re.findall(r'^\| 0 \|.*finished.*$', text, re.MULTILINE)
    assert len(re.findall(r'(?<!\\)\|', row)) == 1 + 8


def test_feature_markdown_keeps_names_in_one_cell() -> None:
    table = Table(['a|b', 'n'], [['<b>|\n[x]', '1']], ['n'])
    assert markdown_table(table).splitlines() == [
        r'| a\|b | n |',
        '| --- | ---: |',
        r'| \<b>\| \[x\] | 1 |',
    ]


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
    assert 'How much it kept cannot be told' not in html


def test_feature_new_class_without_a_score_is_said_in_words(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    matrix = json.loads((work_dir / 'matrix.json').read_text(encoding='utf-8'))
    for name in NEW:
        matrix['steps'][1]['per_class']['AP50'][name] = None
    (work_dir / 'matrix.json').write_text(json.dumps(matrix), encoding='utf-8')
    html = write_report(work_dir).read_text(encoding='utf-8')
    # (0.02 + 0.06 + 0) / 3
    assert (
        'Its AP50 is undefined on the new classes pitted_surface, rolled-in_scale, '
        'scratches, and 3 % on all 3 of 6 that have a score.' in html
    )


def test_feature_a_gain_is_not_called_kept(tmp_path) -> None:
    # (0.63 + 0.74 + 0.81) / (0.61 + 0.72 + 0.80) = 102.3 %
    work_dir = make_stream(tmp_path, last=[0.63, 0.74, 0.81, 0.7, 0.66, 0.8])
    assert (
        'the model keeps all of what it knew about crazing, inclusion, patches (and '
        'improves, to 102 %).' in write_report(work_dir).read_text(encoding='utf-8')
    )
    assert [kept_said(share) for share in (0.0, 0.996, 1.004, 1.01)] == [
        'keeps 0 %',
        'keeps 100 %',
        'keeps 100 %',
        'keeps all (and improves, to 101 %)',
    ]


def test_feature_texts() -> None:
    assert [in_words(name) for name in ('image_auroc', 'aupro', 'AP50', 'my_own')] == [
        'image AUROC',
        'AUPRO',
        'AP50',
        'my own',
    ]
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
