"""The report of a stream, whole and with pieces missing."""

from __future__ import annotations

import json
import re
import shutil
from html import escape

import pytest

from mmdefect.streams.report.record import duration, kept_said, listed, read_stream
from mmdefect.streams.report.stream import write_report
from mmdefect.visualization.page import Table, in_words, markdown_table, percent
from tests.helpers.synthetic_stream import FORGETFUL, NEW, OLD, edited, make_stream

pytestmark = pytest.mark.usefixtures('undrawn')


def change_step(work_dir, step, **values) -> None:
    with edited(work_dir / 'stream.json') as state:
        state['steps'][step].update(values)


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
    # Everything is inside the HTML.
    assert not re.search(r'https?://|<script|<link|@import|url\(', html)
    sources = re.findall(r'src="([^"]{0,22})', html)
    assert set(sources) == {'data:image/png;base64,'}
    assert html.count('<img alt="') == html.count('<img')
    # The Markdown says the same.
    text = (path.parent / 'report.md').read_text(encoding='utf-8')
    assert '**After step 1 the model keeps 4 % of what it knew' in text
    header = '| Step | Brings | State | AP50 old | AP50 new | AP50 all | Old kept |'
    assert header in text
    assert '| 0 | crazing, inclusion, patches | finished | – | 71.0 % |' in text
    pictures = re.findall(r'!\[[^]]+\]\(([^)]+)\)', text)
    assert len(pictures) == 13
    assert all((path.parent / name).is_file() for name in pictures)


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
    with edited(work_dir / 'matrix.json') as matrix:
        del matrix['steps'][1]
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
    rename(work_dir, 'finetune', '<b>&')
    page = write_report(work_dir)
    html = page.read_text(encoding='utf-8')
    assert escape(name) in html
    assert '<title>&lt;b&gt;&amp;</title>' in html
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


@pytest.mark.parametrize(
    ('undefined', 'kept', 'said'),
    [
        # The other old classes are compared: (0.02 + 0) / (0.61 + 0.80).
        (['inclusion'], 0.02 / 1.41, 'on all 5 of 6 that have a score'),
        (
            NEW,  # (0.02 + 0.06 + 0) / 3
            0.08 / 2.13,
            'Its AP50 is undefined on the new classes pitted_surface, rolled-in_scale, '
            'scratches, and 3 % on all 3 of 6 that have a score.',
        ),
    ],
)
def test_feature_undefined_scores_are_said(undefined, kept, said, tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    with edited(work_dir / 'matrix.json') as matrix:
        for values in (entry['per_class']['AP50'] for entry in matrix['steps']):
            values |= dict.fromkeys(values.keys() & set(undefined))
    assert read_stream(work_dir).kept(1) == pytest.approx(kept)
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert f'AP50 of {", ".join(undefined)}: undefined, left out of means' in html
    assert said in html
    assert 'How much it kept cannot be told' not in html


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
    names = ['image_auroc', 'aupro', 'AP50', 'my_own']
    assert [*map(in_words, names)] == ['image AUROC', 'AUPRO', 'AP50', 'my own']
    assert [percent(v) for v in (0.12345, None, float('nan'))] == ['12.3 %', '–', '–']
    spent = [duration(s) for s in (12.2, 200, 3725, None)]
    assert spent == ['12 s', '3 min 20 s', '1 h 02 min', '–']
    assert listed(['a', 'b', 'c'], limit=2) == 'a, b and 1 more'


def test_exception_no_stream(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r'holds no stream\.json'):
        write_report(tmp_path)


@pytest.mark.parametrize('name', ['stream', 'matrix', 'step_0/samples'])
@pytest.mark.parametrize('text', ['{', '7', '[{"odd": 1}]', '{"steps": [{"odd": 1}]}'])
def test_exception_damaged(name, text, tmp_path) -> None:
    """One sentence that names the file, and no traceback."""
    path = make_stream(tmp_path) / f'{name}.json'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match=re.escape(f'finetune/{name}.json')):
        read_stream(tmp_path / 'finetune')


def diagnosed(work_dir, image) -> None:
    """Add to the last step what a metric finds out about its boxes."""
    box = {'bbox': [20, 30, 95, 100]}
    entry = {
        'own_ap50': 0.5,
        'threshold': 0.25,
        'calibrated': False,
        'own_alarms': 7,
        'foreign_alarms': 123,
        'foreign_images': 2,
    }
    names = [*OLD, *NEW]
    classes = {name: dict(entry) for name in names}
    classes['patches'] |= {'threshold': None, 'own_ap50': None}
    example = {'img_path': str(image), 'read': {}, 'gt': [{**box, 'label': 'crazing'}]}
    example['pred'] = [{**box, 'label': 'scratches', 'score': 0.5}]
    pair = {'predicted': 'scratches', 'shown': 'crazing', 'count': 46}
    with edited(work_dir / 'matrix.json') as matrix:
        matrix['steps'][1]['diagnosis'] = {
            'classes': classes,
            'confusions': [{**pair, 'example': example}],
        }


def test_feature_diagnosis(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    diagnosed(work_dir, tmp_path / 'images/plate_0.png')
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert 'Where the false alarms are' in html
    assert 'score at which half of the objects of these test images are found' in html
    assert html.count('<td class="number">123</td>') == 6
    assert '<td class="number">46</td>' in html
    assert '<figcaption>scratches on crazing</figcaption>' in html
    assert html.count('src="data:image/png;base64,') == 13 + 2
    text = (work_dir / 'report/report.md').read_text(encoding='utf-8')
    row = '| patches | 0.0 % | – | – | 7 | 123 | 2 |'
    assert row in text
    # An image that is gone is named, and the count stays.
    (tmp_path / 'images/plate_0.png').unlink()
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert '<td class="number">46</td>' in html
    assert 'plate_0.png&#x27;: the image file is not there any more' in html


def test_feature_which_thresholds_were_chosen(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    diagnosed(work_dir, tmp_path / 'images/plate_0.png')
    with edited(work_dir / 'matrix.json') as matrix:
        told = matrix['steps'][1]['diagnosis']['classes']
        for name in told:
            told[name]['calibrated'] = name != 'patches'
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert 'score chosen on validation images or, of patches, that at which' in html
    with edited(work_dir / 'matrix.json') as matrix:
        matrix['steps'][1]['diagnosis']['classes']['patches']['calibrated'] = True
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert 'from the score chosen on validation images.' in html


def test_feature_distance_to_joint(tmp_path) -> None:
    """Of both streams AP on own images is a tenth above AP on all."""
    ours, joint = make_stream(tmp_path, 'ours'), make_stream(tmp_path, 'joint')
    lower = {'ours': 0.0, 'joint': 0.25}
    for name, work_dir in (('ours', ours), ('joint', joint)):
        with edited(work_dir / 'matrix.json') as matrix:
            matrix['metrics'].append('own_AP50')
            for step in matrix['steps']:
                values = step['per_class']
                for kind in values['AP50']:
                    values['AP50'][kind] = 0.5 + lower[name]
                values['own_AP50'] = {k: v + 0.1 for k, v in values['AP50'].items()}
    html = write_report(ours).read_text(encoding='utf-8')
    assert 'Why this is below joint training' not in html
    write_report(ours, joint)
    text = (ours / 'report/report.md').read_text(encoding='utf-8')
    header = '| Class | Below joint | Forgotten | Never learnt | False alarms, other'
    assert header in text
    for row in ('crazing', 'mean of old', 'mean of new', 'mean of all'):
        assert f'| {row} | +25.0 | +0.0 | +25.0 | ' in text
