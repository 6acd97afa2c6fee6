from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mmdefect.testing import make_toy_deeppcb

ROOT = Path(__file__).parents[3]
main = runpy.run_path(str(ROOT / 'tools/dataset_converters/deeppcb.py'))['main']


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_deeppcb(tmp_path / 'DeepPCB', train=6, test=3, size=128)


def test_smoke(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), '--protocol', '3+3']) == 0
    assert (
        len(json.loads((root / 'coco/test.json').read_text(encoding='utf-8'))['images'])
        == 3
    )
    printed = capsys.readouterr().out
    assert 'train: 6 images' in printed
    assert '| 1 | spur, copper, pin-hole | 6 |' in printed


def test_exception_missing_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / 'PCBData/group00041/00041_not/00041000.txt').unlink()
    assert main([str(root)]) == 1
    assert '1 listed files are not there' in capsys.readouterr().out
    assert not (root / 'coco').exists()


def test_exception_missing_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 1
    assert 'here is no list' in capsys.readouterr().out
