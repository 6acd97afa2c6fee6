"""Methods learn a product, then another: the whole stream, on a few images.

Slow is every training.
"""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmdefect.apis import build_runner, load_config
from mmdefect.streams.matrix import StreamMatrix
from mmdefect.streams.state import StreamState
from mmdefect.testing import make_toy_products
from tests.conftest import REPO

pytestmark = pytest.mark.usefixtures('undrawn')
STREAM = 'anomaly_stream/{}_toy_3-1x2.py'
IUF = 'iuf/iuf_toy_3-1x2.py'
# Fine-tuning and IUF itself run in test_anomaly_gates.py; MAS and SI share EWC's hooks.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    'ewc': (STREAM.format('ewc'), {}),
    'joint': (STREAM.format('joint'), {}),
    'replay': (STREAM.format('replay'), {}),
    'uniad': ('uniad/uniad_toy_3-1x2.py', {}),
    'iuf without conditioner': (IUF, {'model.conditioner': None}),
}


@pytest.fixture(scope='module')
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_products(
        tmp_path_factory.mktemp('data') / 'products', size=64, train=4, test=5
    )


def stream(
    path: str, products: Path, work_dir: Path, changes: dict[str, Any] | None = None
) -> Any:
    """The runner of a config: cloth, then wood, an epoch each."""
    options: dict[str, Any] = {
        'stream.protocol': [['cloth'], ['wood']],
        'train_dataloader.batch_size': 4,
        **{
            f'{split}_dataloader.dataset.data_root': f'{products}/'
            for split in ('train', 'test')
        },
        **(changes or {}),
    }
    if not path.startswith(('coreset', 'memory')):  # which pass over the images once
        options |= {
            'stream.base.train_cfg.max_epochs': 1,
            'stream.increment.train_cfg.max_epochs': 1,
        }
    cfg = load_config(
        REPO / 'configs' / path, cfg_options=options, work_dir=str(work_dir)
    )
    return build_runner(cfg)


@pytest.mark.slow
@pytest.mark.parametrize('name', METHODS)
def test_smoke_stream(name: str, products: Path, tmp_path: Path) -> None:
    path, changes = METHODS[name]
    stream(path, products, tmp_path, changes).train()
    assert [step.state for step in StreamState.load(tmp_path).steps] == ['finished'] * 2
    last = StreamMatrix.load(tmp_path / 'matrix.json').scores(1, 'image_auroc')
    assert set(last) == {'cloth', 'wood'}


@pytest.mark.slow
def test_feature_coreset_and_a_product_without_defective_test_images(
    products, tmp_path
) -> None:
    copied = shutil.copytree(products, tmp_path / 'products')
    shutil.rmtree(copied / 'wood' / 'ground_truth')
    for folder in (copied / 'wood' / 'test').iterdir():
        if folder.name != 'good':
            shutil.rmtree(folder)
    work = tmp_path / 'work'
    stream('coreset/coreset_toy_3-1x2.py', copied, work).train()
    assert [step.state for step in StreamState.load(work).steps] == ['finished'] * 2
    last = StreamMatrix.load(work / 'matrix.json').scores(1, 'image_auroc')
    assert math.isnan(last['wood'])
    assert 0 <= last['cloth'] <= 1
    page = (work / 'report' / 'index.html').read_text(encoding='utf-8')
    assert re.search(r'image AUROC[^<]* of wood: undefined', page)


@pytest.mark.slow
def test_feature_products_are_recognised_and_alarmed(tmp_path: Path) -> None:
    """Three products, one after the other; the old ones are scored as before."""
    changes = {'stream.protocol': [['cloth'], ['wood'], ['metal']]}
    root = make_toy_products(tmp_path / 'products', size=128, train=12, test=6)
    work = tmp_path / 'work'
    stream('memory/memory_toy_3-1x2.py', root, work, changes).train()
    assert [step.state for step in StreamState.load(work).steps] == ['finished'] * 3
    matrix = StreamMatrix.load(work / 'matrix.json')
    for metric in ('image_auroc', 'pixel_auroc', 'false_alarm', 'miss'):
        first, last = (matrix.scores(step, metric) for step in (0, 2))
        assert first['cloth'] == last['cloth'], metric
    assert matrix.scores(2, 'routing') == dict.fromkeys(['cloth', 'wood', 'metal'], 1)
    page = (work / 'report' / 'index.html').read_text(encoding='utf-8')
    assert 'routing' in page


def test_exception_data_of_a_later_step(products: Path, tmp_path: Path) -> None:
    """Said before the first step has trained for hours."""
    copied = shutil.copytree(products, tmp_path / 'products')
    next((copied / 'wood' / 'ground_truth').rglob('*.png')).unlink()
    work = tmp_path / 'work'
    with pytest.raises(ValueError, match='efective images without a mask'):
        stream(IUF, copied, work).train()
    assert not (work / 'stream.json').exists()

    for path in (copied / 'wood' / 'train' / 'good').glob('00[0-2]*'):
        path.unlink()
    with pytest.raises(ValueError, match=r'training set has 1 images, .*batch_size=4'):
        stream(IUF, copied, work, {'resume': True}).train()
    assert not (work / 'stream.json').exists()
