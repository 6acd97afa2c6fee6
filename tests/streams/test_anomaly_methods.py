"""Methods learn a product, then another: the whole stream, on a few images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdefect.apis import build_runner, load_config
from mmdefect.streams.state import StreamState
from mmdefect.testing import make_toy_products
from tests.conftest import REPO

STREAM = 'anomaly_stream/{}_toy_3-1x2.py'
IUF = 'iuf/iuf_toy_3-1x2.py'
# Fine-tuning and IUF itself run in test_anomaly_gates.py; MAS and SI share EWC's hooks.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    'ewc': (STREAM.format('ewc'), {}),
    'joint': (STREAM.format('joint'), {}),
    'replay': (STREAM.format('replay'), {}),
    'uniad': ('uniad/uniad_toy_3-1x2.py', {}),
    'coreset': ('coreset/coreset_toy_3-1x2.py', {}),
    'iuf without conditioner': (IUF, {'model.conditioner': None}),
}


@pytest.fixture(scope='module')
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_products(
        tmp_path_factory.mktemp('data') / 'products', size=64, train=4, test=5
    )


@pytest.mark.parametrize('name', METHODS)
def test_smoke_stream(name: str, products: Path, tmp_path: Path) -> None:
    path, changes = METHODS[name]
    options: dict[str, Any] = {
        'stream.protocol': [['cloth'], ['wood']],
        'train_dataloader.batch_size': 4,
        **{
            f'{split}_dataloader.dataset.data_root': f'{products}/'
            for split in ('train', 'test')
        },
        **changes,
    }
    if name != 'coreset':  # which passes over the images once
        options |= {
            'stream.base.train_cfg.max_epochs': 1,
            'stream.increment.train_cfg.max_epochs': 1,
        }
    cfg = load_config(
        REPO / 'configs' / path, cfg_options=options, work_dir=str(tmp_path)
    )
    build_runner(cfg).train()
    assert [step.state for step in StreamState.load(tmp_path).steps] == ['finished'] * 2
    scores = json.loads((tmp_path / 'matrix.json').read_text())['steps'][1]
    assert set(scores['per_class']['image_auroc']) == {'cloth', 'wood'}
