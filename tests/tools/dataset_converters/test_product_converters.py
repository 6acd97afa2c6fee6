"""Tools around products: checks of MVTec-AD, VisA's conversion, lists of a protocol."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmdefect.testing import make_toy_visa
from tests.helpers.dataset_files import tool

Out = pytest.CaptureFixture[str]
mvtec_ad, visa, ad_lists = (tool(name) for name in ('mvtec_ad', 'visa', 'ad_lists'))
CLASSES = ['--classes', 'cloth', 'dots', 'marble']


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_visa(tmp_path / 'VisA', size=32, train=2, test=2)


def test_smoke_mvtec_ad(products_copy: Path, capsys: Out) -> None:
    before = sorted(products_copy.rglob('*'))
    assert mvtec_ad(products_copy, '--full') == 0
    assert '3 products: 15 train' in capsys.readouterr().out
    assert sorted(products_copy.rglob('*')) == before


def test_exception_mvtec_ad(products_copy: Path, capsys: Out) -> None:
    (products_copy / 'dots/ground_truth/blot/000_mask.png').unlink()
    assert mvtec_ad(products_copy) == 1
    assert '  ERROR: defective images without a mask' in capsys.readouterr().out
    assert mvtec_ad(products_copy, '--products', 'cloth') == 0
    assert mvtec_ad(products_copy, '--expect', 'real') == 1
    assert 'ERROR: zipper=0 train' in capsys.readouterr().out
    assert mvtec_ad(products_copy / 'none') == 1
    assert 'ERROR: there is no folder' in capsys.readouterr().out


def test_smoke_visa(root: Path, capsys: Out) -> None:
    assert visa(root, '--link') == 0
    assert len(list((root / 'mvtec').rglob('*.JPG'))) == 18
    out = capsys.readouterr().out
    assert 'pcb1: 2 train, 2 good and 2 defective test images (bad 2), 2 masks' in out
    assert f'wrote {root}/mvtec: 18 images, 6 masks' in out


def test_exception_visa(root: Path, capsys: Out) -> None:
    assert visa(root, '--out', root) == 1
    assert f'ERROR: {root} exists already' in capsys.readouterr().out
    assert visa(root, '--split-csv', 'none.csv') == 1
    assert 'ERROR: there is no split file none.csv' in capsys.readouterr().out
    assert visa(root, '--out', root / 'out', '--expect', 'real') == 1
    assert 'Nothing written' in capsys.readouterr().out
    (root / 'pcb1/Data/Masks/Anomaly/000.png').unlink()
    assert visa(root, '--out', root / 'out') == 1
    assert 'Nothing written' in capsys.readouterr().out
    assert not list(root.glob('out*'))


def test_smoke_ad_lists(products_copy: Path, capsys: Out) -> None:
    assert ad_lists(products_copy, '--protocol', '2-1', *CLASSES) == 0
    path = products_copy / 'lists/split/3_test.json'
    lines = path.read_text(encoding='utf-8').splitlines()
    assert len([json.loads(line) for line in lines]) == 15
    assert f'{path}: 15 images' in capsys.readouterr().out
    # Without --classes, products of the folder.
    assert (
        ad_lists(products_copy, '--protocol', '2-1', '--out', products_copy / 'x') == 0
    )
    names = {path.name for path in (products_copy / 'x/orisplit').iterdir()}
    assert names == {f'{s}_{p}.json' for s in ('train', 'test') for p in CLASSES[1:]}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['2-2', *CLASSES], 'does not add up'),
        (['14-1', '--dataset', 'mvtec'], 'lacks 15: bottle, cable, capsule'),
        (['8-4', '--dataset', 'visa'], 'it holds cloth, dots, marble; leave --dataset'),
    ],
)
def test_exception_ad_lists(
    toy_products: Path, tmp_path: Path, capsys: Out, arguments: list, message: str
) -> None:
    out = tmp_path / 'lists'
    assert ad_lists(toy_products, '--out', out, '--protocol', *arguments) == 1
    printed = capsys.readouterr().out
    assert 'ERROR: ' in printed
    assert message in printed
    assert not out.exists()
    assert ad_lists(tmp_path, '--protocol', '2-1') == 1
    assert f'ERROR: {tmp_path} holds no product' in capsys.readouterr().out
