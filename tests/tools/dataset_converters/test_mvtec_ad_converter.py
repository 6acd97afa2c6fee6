from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from mmdefect.testing import make_toy_products

ROOT = Path(__file__).parents[3]
main = runpy.run_path(str(ROOT / 'tools/dataset_converters/mvtec_ad.py'))['main']


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_products(tmp_path, size=32, products=2, train=2, test=5)


def test_smoke(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(root.rglob('*'))
    assert main([str(root), '--full']) == 0
    assert '2 products: 4 train' in capsys.readouterr().out
    assert sorted(root.rglob('*')) == before


def test_exception_error_in_one_product(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / 'dots/ground_truth/blot/000_mask.png').unlink()
    assert main([str(root)]) == 1
    assert '  ERROR: Defective images without a mask' in capsys.readouterr().out
    assert main([str(root), '--products', 'cloth']) == 0


def test_exception_totals(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), '--expect', 'real']) == 1
    assert 'ERROR: zipper has 0 train' in capsys.readouterr().out


def test_exception_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / 'none')]) == 1
    assert 'ERROR: There is no folder' in capsys.readouterr().out
