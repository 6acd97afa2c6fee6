"""Anomaly maps in the report and in the comparison."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from mmdefect.streams.report.comparison import write_comparison
from mmdefect.streams.report.maps import PANEL_WIDTH, maps_section
from mmdefect.streams.report.record import read_stream
from mmdefect.streams.report.stream import write_report
from mmdefect.visualization.anomaly import GAP, side_by_side
from tests.helpers.synthetic_stream import NEW, OLD, edited, make_stream

pytestmark = pytest.mark.usefixtures('undrawn')

NAMES = ['image', 'mask', 'dataset', 'own']


def panel(value: int) -> np.ndarray:
    return np.full((20, 30, 3), value, dtype=np.uint8)


def add_maps(step_dir, products, value: int = 0) -> None:
    """A defective and a good image of each product; panels are plain greys."""
    (step_dir / 'samples.json').unlink()
    (step_dir / 'maps').mkdir()
    maps = []
    for product in products:
        for k, defect in enumerate(('hole', 'good')):
            names = ['image', 'dataset'] if k else NAMES
            strip = side_by_side([panel(value + 10 * i) for i in range(len(names))])
            Image.fromarray(strip).save(step_dir / 'maps' / f'{product}_{k}.png')
            maps.append(
                {
                    'picture': f'maps/{product}_{k}.png',
                    'panels': names,
                    'product': product,
                    'defect': defect,
                    'defective': not k,
                    'score': None if k else 0.25,
                    'img_path': f'data/{product}/{k}.png',
                }
            )
    content = {'low': 0, 'high': 1, 'maps': maps}
    (step_dir / 'maps.json').write_text(json.dumps(content), encoding='utf-8')


def anomaly_stream(root, name='iuf'):
    work_dir = make_stream(root, name)
    add_maps(work_dir / 'step_0', OLD)
    add_maps(work_dir / 'step_1', OLD + NEW, value=100)
    return work_dir


@pytest.fixture
def columns(tmp_path) -> dict:
    maps = read_stream(anomaly_stream(tmp_path)).maps
    return {'after step 0': maps[0], 'after step 1': maps[1]}


def test_smoke(tmp_path) -> None:
    work_dir = anomaly_stream(tmp_path)
    html = write_report(work_dir).read_text(encoding='utf-8')
    assert 'Anomaly maps of the test set' in html
    assert 'Samples of the test set' not in html
    # Maps stand for the sample predictions.
    assert 'Not on this page' not in html
    for name in OLD:
        assert f'alt="Anomaly maps of {name}: after step 0, after step 1"' in html
    for name in NEW:
        assert f'alt="Anomaly maps of {name}: after step 1"' in html
    products = re.findall(r'<figcaption>(\S+), hole: ', html)
    assert products == OLD + NEW


def test_feature_products_are_no_classes(tmp_path) -> None:
    """Anomaly streams are worded by what they are scored with."""
    work_dir = anomaly_stream(tmp_path)
    path = work_dir / 'matrix.json'
    text = path.read_text(encoding='utf-8').replace('"AP50"', '"image_auroc"')
    path.write_text(text.replace('coco/AP50', 'anomaly/image_auroc'), encoding='utf-8')
    html = write_report(work_dir).read_text(encoding='utf-8')
    for said in (
        'It reaches image AUROC 72 % on the new products pitted_surface',
        'Product by product',
        'Old are the products of earlier steps',
        'the mean over all products seen so far',
    ):
        assert said in html
    assert not re.search(r'[Cc]lass(?!=)|image_auroc', html.split('<body>')[1])


def section(columns, folder, missing=()) -> list:
    found = maps_section(columns, classes=OLD, folder=folder, missing=list(missing))
    return list(found.pictures)


def test_feature_rows_and_columns(columns, tmp_path) -> None:
    defective, good, *_ = section(columns, tmp_path / 'out')
    title = 'after step 0{0}, after step 1{0}'
    assert defective.caption == f'{OLD[0]}, hole: {title.format(" 0.25")}'
    assert good.caption == f'{OLD[0]}, good: {title.format("")}'
    high = round(PANEL_WIDTH * 20 / 30)
    for picture, expected in (
        # Image and mask are the first step's, then each step's own overlay.
        (defective, [[0, 20, 120], [10, 30, 130]]),
        (good, [[0, 10, 110]]),
    ):
        grid = np.asarray(Image.open(picture.path).convert('L'))
        assert grid.shape[1] == picture.width == 3 * PANEL_WIDTH + 2 * GAP
        centres = grid[high // 2 :: high + GAP, PANEL_WIDTH // 2 :: PANEL_WIDTH + GAP]
        assert centres.tolist() == expected


def test_feature_long_streams(columns, tmp_path) -> None:
    """First and last steps; of many images each product shows the first one."""
    many = {f'after step {k}': columns['after step 0'] for k in range(9)}
    first, *rest = section(many, tmp_path / 'out')
    assert re.findall(r'step (\d)', first.alt) == ['0', '4', '5', '6', '7', '8']
    assert len(rest) == 5
    entry = columns['after step 0'][0]
    images = [{**entry, 'img_path': f'{k}.png'} for k in range(37)]
    assert len(section({'after step 0': images}, tmp_path)) == 1
    assert len(section({'after step 0': images[1:]}, tmp_path)) == 36


def test_feature_missing_pictures_are_named(columns, tmp_path) -> None:
    missing: list[str] = []
    for entry in columns['after step 0']:
        entry['picture'] += '.gone'
    found = maps_section(columns, classes=OLD, folder=tmp_path, missing=missing)
    assert len(missing) == 6
    assert "crazing_0.png.gone': the file is not there." in missing[0]
    assert found.pictures[0].alt.endswith('crazing: after step 1')


def test_feature_missing_files_are_named(tmp_path) -> None:
    work_dir = anomaly_stream(tmp_path)
    (work_dir / 'step_1' / 'maps.json').unlink()
    assert read_stream(work_dir).missing == [
        'Step 1: no sample predictions (no samples.json in step_1, which '
        'SamplePredictionsHook writes at the test, and no maps.json, which '
        'AnomalyMapHook writes).'
    ]


def test_feature_comparison_shows_maps(tmp_path) -> None:
    streams = {name: anomaly_stream(tmp_path, name) for name in ('iuf', 'naive')}
    html = write_comparison(streams, tmp_path / 'out').read_text(encoding='utf-8')
    assert f'alt="Anomaly maps of {OLD[0]}: teacher, iuf, naive"' in html
    assert f'alt="Anomaly maps of {NEW[0]}: iuf, naive"' in html


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        # A work dir may come from anywhere; its report shows what lies in it.
        ({'picture': '/tmp/a.png'}, r'maps.json names .* outside of its work dir'),
        (
            {'picture': '../../secret.png'},
            r'maps.json names .* outside of its work dir',
        ),
        (None, r'maps\.json: expected entries with defect, .*; remove the file and'),
    ],
)
def test_exception_damaged(tmp_path, change, message) -> None:
    work_dir = anomaly_stream(tmp_path)
    with edited(work_dir / 'step_1/maps.json') as content:
        if change is None:
            del content['maps'][0]['panels']
        else:
            content['maps'][0] |= change
    with pytest.raises(ValueError, match=message):
        read_stream(work_dir)


def test_exception_a_picture_that_is_a_program(columns, tmp_path) -> None:
    """Pillow would hand PostScript to an interpreter."""
    program = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n'
    Path(columns['after step 1'][0]['picture']).write_bytes(program)
    with pytest.raises(UnidentifiedImageError):
        section(columns, tmp_path)
