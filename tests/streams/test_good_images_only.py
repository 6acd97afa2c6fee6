"""Streams of products without defective images, or without images of old products.

Slow: two streams are trained by the tool, whose log is read.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from mmdefect.streams.matrix import StreamMatrix
from mmdefect.testing import make_toy_products
from tests.conftest import REPO, run_tool

CONFIG = REPO / 'configs/coreset/coreset_toy_3-1x2.py'  # trains nothing: seconds


def stream(warm: Path, root: Path, work_dir: Path, *options: str) -> str:
    """Train a stream and return what it said."""
    roots = [
        f'{split}_dataloader.dataset.data_root={root}/' for split in ('train', 'test')
    ]
    done = run_tool(
        'tools/train.py', CONFIG, '--work-dir', work_dir, '--cfg-options',
        'stream.class_keys=[memory,filled]', *roots, *options, programs=warm,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.slow
def test_feature_good_images_only(warm: Path, tmp_path: Path) -> None:
    """Trained, tested on what is held out, then a product beside absent old ones."""
    root = make_toy_products(tmp_path / 'a', size=32, products=3, train=10, test=5)
    shutil.rmtree(root / 'cloth/test')
    shutil.rmtree(root / 'cloth/ground_truth')
    shutil.rmtree(root / 'dots/ground_truth')
    for folder in (root / 'dots/test').iterdir():
        if folder.name != 'good':
            shutil.rmtree(folder)
    said = stream(warm, root, tmp_path / 'w', 'stream.protocol=[[cloth,dots]]')
    assert 'cloth: no test images, so 2 good ones are held out of training' in said
    assert (
        "product 'cloth': all its 2 test images are good, so its AUROC is und" in said
    )
    assert "product 'dots': all its" in said
    scores = StreamMatrix.load(tmp_path / 'w/matrix.json').steps[0].scalars
    assert scores['anomaly/good_images/cloth'] == 2
    for product in ('cloth', 'dots'):
        quantiles = [scores[f'anomaly/score_{q}/{product}'] for q in ('q50', 'max')]
        assert 0 < quantiles[0] <= quantiles[1]
    content = json.loads((tmp_path / 'w/matrix.json').read_text(encoding='utf-8'))
    assert content['steps'][0]['undefined']['image_auroc'] == ['cloth', 'dots']
    text = (tmp_path / 'w/report/report.md').read_text(encoding='utf-8')
    assert 'AUROC is undefined, since no product has defective test images' in text
    highest = f'{scores["anomaly/score_max/cloth"]:.4g} |'
    assert re.search(rf'^\| cloth \| 2 \|.* {re.escape(highest)}$', text, re.MULTILINE)
    assert re.search(r'undefined, since no product has defective test images: im', said)
    assert re.search(rf'\| cloth +\| +2 \|.* {re.escape(highest)}', said)

    other = tmp_path / 'b'
    shutil.copytree(root / 'marble', other / 'marble')
    (checkpoint,) = (tmp_path / 'w/step_0').glob('epoch_*.pth')
    said = stream(
        warm,
        other,
        tmp_path / 'w2',
        'stream.protocol=[[cloth,dots],[marble]]',
        f'stream.start_from={checkpoint}',
    )
    assert 'cloth: no test images, so it is not scored' in said
    last = StreamMatrix.load(tmp_path / 'w2/matrix.json')
    assert last.undefined(metric='image_auroc', step=1) == ['cloth', 'dots']
    assert 0 <= last.scores(1, 'image_auroc')['marble'] <= 1
