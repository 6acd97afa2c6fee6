from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mmdefect.testing import make_toy_products

ROOT = Path(__file__).parents[3]
main = runpy.run_path(str(ROOT / 'tools/dataset_converters/ad_lists.py'))['main']
CLASSES = ['--classes', 'cloth', 'dots', 'marble']


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_products(tmp_path, size=32, products=3, train=2, test=5)


def test_smoke(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), '--protocol', '2-1', *CLASSES]) == 0
    lines = (root / 'lists/split/3_test.json').read_text(encoding='utf-8').splitlines()
    assert len([json.loads(line) for line in lines]) == 15
    assert f'{root}/lists/split/3_test.json: 15 images' in capsys.readouterr().out


def test_feature_products_of_the_folder_by_default(root: Path) -> None:
    assert main([str(root), '--protocol', '2-1']) == 0
    names = {path.name for path in (root / 'lists/orisplit').iterdir()}
    splits = ('train', 'test')
    expected = {f'{s}_{p}.json' for s in splits for p in ('cloth', 'dots', 'marble')}
    assert names == expected


def test_exception_no_product(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), '--protocol', '2-1']) == 1
    assert f'ERROR: {tmp_path} holds no product' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--protocol', '2-2', *CLASSES], 'does not add up'),
        (
            ['--protocol', '14-1', '--dataset', 'mvtec'],
            'lacks 15: bottle, cable, capsule',
        ),
        (
            ['--protocol', '8-4', '--dataset', 'visa'],
            'it holds cloth, dots, marble; leave --dataset out',
        ),
    ],
)
def test_exception_nothing_is_written(
    root: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert main([str(root), '--out', str(root / 'lists'), *arguments]) == 1
    printed = capsys.readouterr().out
    assert 'ERROR: ' in printed
    assert message in printed
    assert not (root / 'lists').exists()
