from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmdefect.converters.ad_lists import build_lists, write_lists
from mmdefect.datasets.anomaly.dataset import AnomalyDataset
from mmdefect.testing import make_toy_products
from tests.helpers.dataset_files import infos

STEPS = [['cloth', 'dots'], ['marble']]
NAMES = ('cloth', 'dots', 'marble')


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_products(tmp_path, size=32, products=3, train=2, test=5)


def test_smoke_names_and_sizes(root: Path) -> None:
    lists, errors = build_lists(root, STEPS)
    assert errors == []
    assert {name: len(lines) for name, lines in lists.items()} == {
        **{f'orisplit/train_{name}.json': 2 for name in NAMES},
        **{f'orisplit/test_{name}.json': 5 for name in NAMES},
        'split/2_train.json': 4,
        'split/2_test.json': 10,
        'split/3_train.json': 2,
        'split/3_test.json': 15,
    }


def test_feature_lines_as_published(root: Path) -> None:
    lists, _ = build_lists(root, STEPS)
    good, bad = (
        json.loads(lists[name][0])
        for name in ('split/3_train.json', 'orisplit/test_cloth.json')
    )
    assert good == {
        'filename': 'marble/train/good/000.png',
        'label': 0,
        'label_name': 'good',
        'clsname': 'marble',
    }
    assert bad == {
        'filename': 'cloth/test/cut/000.png',
        'label': 1,
        'label_name': 'defective',
        'clsname': 'cloth',
        'maskname': 'cloth/ground_truth/cut/000_mask.png',
    }


@pytest.mark.parametrize(
    ('name', 'split', 'seen', 'keep'),
    [
        ('2_train', 'train', STEPS[0], STEPS[0]),
        ('3_train', 'train', NAMES, ['marble']),
        ('3_test', 'test', NAMES, None),
    ],
)
def test_feature_round_trip(
    root: Path, name: str, split: str, seen: list, keep: list | None
) -> None:
    """A step reads the same items from its list and from the folders."""
    write_lists(build_lists(root, STEPS)[0], root / 'lists')
    kwargs: dict[str, Any] = {
        'data_root': str(root),
        'split': split,
        'pipeline': [],
        'metainfo': {'classes': NAMES},
        'seen_classes': seen,
        'keep_classes': keep,
    }
    folders = AnomalyDataset(**kwargs)
    listed = AnomalyDataset(**kwargs, meta_file=f'lists/split/{name}.json')
    assert infos(folders) == infos(listed) != []


def test_exception_missing_product_mask_and_broken_file(root: Path) -> None:
    (root / 'dots/train/good/000.png').write_bytes(b'')
    (error,) = build_lists(root, [['dots']])[1]
    assert 'dots/train/good/000.png (zero bytes)' in error
    (root / 'dots/ground_truth/blot/000_mask.png').unlink()
    _, errors = build_lists(root, [['dots', 'wool']])
    assert len(errors) == 4  # and no training images, no mask, no test images
    assert 'wool' in errors[1]
    assert 'blot/000.png' in errors[2]
