from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from mmdefect.testing import make_toy_neu_det

ROOT = Path(__file__).parents[3]
main = runpy.run_path(str(ROOT / 'tools/dataset_converters/neu_det.py'))['main']
BOMB = '<!DOCTYPE a [<!ENTITY x "boom">]><annotation>&x;</annotation>'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_neu_det(tmp_path / 'NEU-DET', per_class=10, size=64)


def test_smoke(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), '--protocol', '3+3']) == 0
    coco = json.loads((root / 'coco/train.json').read_text(encoding='utf-8'))
    assert len(coco['images']) == 48
    assert (root / 'coco/test.json').is_file()
    printed = capsys.readouterr().out
    assert 'train: 48 images' in printed
    assert '  degenerate boxes: 0' in printed
    assert '| 1 | pitted_surface, rolled-in_scale, scratches |' in printed


def test_feature_users_lists(root: Path, tmp_path: Path) -> None:
    names = sorted(p.stem for p in (root / 'IMAGES').iterdir())
    (tmp_path / 'train.txt').write_text('\n'.join(names[1:]), encoding='utf-8')
    (tmp_path / 'test.txt').write_text(names[0], encoding='utf-8')
    lists = ['--train-list', 'train.txt', '--test-list', 'test.txt']
    lists = [str(tmp_path / a) if a.endswith('txt') else a for a in lists]
    assert main([str(root), *lists, '--out', str(tmp_path / 'out')]) == 0
    coco = json.loads((tmp_path / 'out/test.json').read_text(encoding='utf-8'))
    assert [i['file_name'] for i in coco['images']] == ['IMAGES/crazing_1.jpg']


def test_exception_one_list_only(root: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(root), '--train-list', 'a.txt'])


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda r: (r / 'IMAGES/crazing_1.jpg').unlink(), 'no partner in IMAGES'),
        (
            lambda r: (r / 'ANNOTATIONS/crazing_1.xml').write_text(
                BOMB, encoding='utf-8'
            ),
            'declares XML entities',
        ),
        (
            lambda r: (r / 'IMAGES').rename(r / 'images'),
            'There is no folder',
        ),
    ],
)
def test_exception_exit_status(
    root: Path, capsys: pytest.CaptureFixture[str], damage, message: str
) -> None:
    damage(root)
    assert main([str(root)]) == 1
    assert message in capsys.readouterr().out
    assert not (root / 'coco').exists()


def test_exception_expect_real(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), '--expect', 'real']) == 1
    assert 'the real NEU-DET has 1800' in capsys.readouterr().out


def test_exception_protocol(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), '--protocol', '3+4']) == 1
    assert 'does not add up' in capsys.readouterr().out
