from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from mmdefect.testing import make_toy_visa

ROOT = Path(__file__).parents[3]
main = runpy.run_path(str(ROOT / 'tools/dataset_converters/visa.py'))['main']


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_visa(tmp_path / 'VisA', size=32, train=2, test=2)


def test_smoke(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), '--link']) == 0
    assert len(list((root / 'mvtec').rglob('*.JPG'))) == 18
    printed = capsys.readouterr().out
    assert 'pcb1: 2 train, 2 good and 2 defective test images (bad 2), 2 masks' in (
        printed
    )
    assert f'wrote {root}/mvtec: 18 images, 6 masks' in printed


@pytest.mark.parametrize('arguments', [[], ['--expect', 'real']])
def test_exception_nothing_is_written(
    root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    if not arguments:
        (root / 'pcb1/Data/Masks/Anomaly/000.png').unlink()
    assert main([str(root), '--out', str(root / 'out'), *arguments]) == 1
    assert 'Nothing written' in capsys.readouterr().out
    assert not list(root.glob('out*'))


def test_exception_folder_is_there(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(root), '--out', str(root)]) == 1
    assert f'ERROR: {root} exists already' in capsys.readouterr().out


def test_exception_no_split_file(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(root), '--split-csv', 'none.csv']) == 1
    assert 'here is no split file none.csv' in capsys.readouterr().out
