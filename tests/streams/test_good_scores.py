"""Streams whose products have no defective test images, on pages and in the log."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mmdefect.streams.closing import MAX_CLASSES, summary_text
from mmdefect.streams.matrix import StreamMatrix
from mmdefect.streams.report.comparison import write_comparison
from mmdefect.streams.report.stream import write_report
from mmdefect.streams.report.summary import HEADER, good_table
from tests.helpers.synthetic_stream import NEW, OLD, edited, make_stream

pytestmark = pytest.mark.usefixtures('undrawn')

METRICS = ['image_auroc', 'pixel_auroc', 'aupro']
ROW = ['10', '0.25', '0.475', '0.495', '0.5']
NUMBERS = (10, 0.25, 0.475, 0.495, 0.5)
KEYS = ('good_images', 'score_q50', 'score_q95', 'score_q99', 'score_max')


def scalars(names, *, defective=(), untested=()) -> dict[str, float]:
    """As AnomalyMetric reports them."""
    found: dict[str, float] = {}
    for name in names:
        value = 0.75 if name in defective else math.nan
        found |= {f'anomaly/{metric}/{name}': value for metric in METRICS}
        numbers = (0, *[math.nan] * 4) if name in untested else NUMBERS
        found |= {
            f'anomaly/{key}/{name}': n for key, n in zip(KEYS, numbers, strict=True)
        }
        found[f'anomaly/defective_images/{name}'] = 5 if name in defective else 0
    return found


def matrix(**kwargs) -> StreamMatrix:
    found = StreamMatrix(classes=OLD + NEW, metrics=METRICS)
    found.add_step(step=0, old=[], new=OLD, scalars=scalars(OLD, **kwargs))
    found.add_step(step=1, old=OLD, new=NEW, scalars=scalars(OLD + NEW, **kwargs))
    return found


def stream(root: Path, name: str = 'iuf', **kwargs) -> Path:
    work_dir = make_stream(root, name)
    matrix(**kwargs).save(work_dir / 'matrix.json')
    return work_dir


def page(path: Path, markdown: str = 'report.md') -> tuple[str, str]:
    text = (path.parent / markdown).read_text(encoding='utf-8')
    return text.split('## Where this comes from')[0], path.read_text(encoding='utf-8')


def test_smoke_rows_of_the_last_step() -> None:
    rows = good_table(matrix(untested=OLD[:2], defective=NEW[:1])).rows
    assert rows == [[name, *ROW] for name in (OLD[2], *NEW[1:])]
    assert good_table(matrix(defective=OLD + NEW)).rows == []


def test_feature_page_without_any_defect(tmp_path) -> None:
    text, html = page(write_report(stream(tmp_path)))
    why = 'After step 1 the image AUROC is undefined, since no product has defective '
    why += 'test images.'
    assert html.count(f'<h1>{why}</h1>') == 1
    assert text.count(f'**{why}**') == 1
    assert f'The model knows {", ".join(OLD + NEW)}.' in text
    for name in OLD + NEW:
        assert f'| {" | ".join([name, *ROW])} |' in text
    assert f'| {" | ".join(HEADER)} |' in text
    assert '–' not in text  # no table of dashes
    assert 'The stream in numbers' not in text
    assert 'heat_map.png' not in text
    assert 'groups.png' not in text
    # two loss plots, three samples beside their truth after two steps
    assert html.count('src="data:image/png;base64,') == 2 + 3 * 3
    assert 'undefined, left out of means (no defective test images)' in text
    assert '| Step | Brings | State |\n' in text


def test_feature_page_with_some_defects(tmp_path) -> None:
    text, html = page(write_report(stream(tmp_path, defective=OLD)))
    assert 'the model keeps 100 % of what it knew about' in text
    assert html.count('src="data:image/png;base64,') == 2 + 2 + 3 * 3
    assert '| Number | image AUROC | pixel AUROC | AUPRO |' in text
    rows = [line for line in text.splitlines() if line.endswith(f'{ROW[-1]} |')]
    assert rows == [f'| {" | ".join([name, *ROW])} |' for name in NEW]
    text, _ = page(write_report(stream(tmp_path / 'b', defective=OLD + NEW)))
    assert HEADER[1] not in text


def test_feature_page_without_masks(tmp_path) -> None:
    """Metrics of pixels have no value, those of images have."""
    work_dir = stream(tmp_path, defective=OLD + NEW)
    with edited(work_dir / 'matrix.json') as content:
        for scores in (entry['per_class'] for entry in content['steps']):
            scores |= {m: dict.fromkeys(scores[m]) for m in METRICS[1:]}
    text, _ = page(write_report(work_dir))
    assert '| Number | image AUROC |\n' in text
    assert 'image AUROC all | Old kept |\n' in text
    assert 'pixel AUROC, AUPRO of crazing, ' in text
    said = summary_text(StreamMatrix.load(work_dir / 'matrix.json'))
    assert 'undefined, since the test set has not what it takes: pixel_auroc, a' in said
    assert 'pixel_auroc of all' not in said
    assert '| mean of all ' in said


def test_feature_comparison(tmp_path) -> None:
    work_dirs = {'a': stream(tmp_path, 'a'), 'b': stream(tmp_path, 'b')}
    text, _ = page(write_comparison(work_dirs, tmp_path / 'out'), 'comparison.md')
    why = 'The image AUROC is undefined, since no product has defective test images.'
    assert f'**{why}**' in text
    for model in work_dirs:
        assert f'| {" | ".join([model, NEW[0], *ROW])} |' in text
    assert 'heat_map' not in text
    assert 'groups.png' not in text
    assert '–' not in text
    matrix(defective=OLD + NEW).save(work_dirs['a'] / 'matrix.json')
    text, _ = page(write_comparison(work_dirs, tmp_path / 'out'), 'comparison.md')
    assert 'a keeps 100 %' in text
    assert 'heat_map_0.png' in text
    assert 'heat_map_1.png' not in text  # b has no score to show
    assert f'| {" | ".join(["b", NEW[0], *ROW])} |' in text
    assert f'| {" | ".join(["a", NEW[0], *ROW])} |' not in text


def cells(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in text.splitlines()
        if line.startswith('|')
    ]


def test_feature_log_without_any_defect() -> None:
    text = summary_text(matrix())
    why = 'undefined, since no product has defective test images: '
    assert text.splitlines()[0] == why + ', '.join(METRICS)
    assert cells(text)[1:] == [[name, *ROW] for name in OLD + NEW]


def test_feature_log_with_some_defects() -> None:
    rows = cells(summary_text(matrix(defective=OLD)))
    assert [NEW[0], '–', '–'] in rows
    assert [OLD[0], '75.0 %', '75.0 %'] in rows
    assert rows[-len(NEW) :] == [[name, *ROW] for name in NEW]
    text = summary_text(matrix(defective=OLD + NEW))
    assert 'good' not in text
    assert 'undefined' not in text


def test_feature_log_of_one_screen() -> None:
    names = [f'product {k}' for k in range(MAX_CLASSES + 3)]
    for number, cut in ((MAX_CLASSES, False), (MAX_CLASSES + 3, True)):
        found = StreamMatrix(classes=names[:number], metrics=METRICS)
        new = names[:number]
        found.add_step(step=0, old=[], new=new, scalars=scalars(new))
        text = summary_text(found)
        assert len(cells(text)) == 1 + MAX_CLASSES
        assert ('3 more classes are in matrix.json' in text) == cut
