from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from mmdefect.datasets.casting.dataset import CastingDataset
from mmdefect.datasets.casting.split import read_split
from mmdefect.testing import make_toy_casting
from tests.helpers.dataset_files import tool

main = tool('casting')
Out = pytest.CaptureFixture[str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    how = {'parts': 4, 'copies': 4, 'size': 64, 'originals': True}
    return make_toy_casting(tmp_path / 'casting', **how)


def test_smoke(root: Path, capsys: Out) -> None:
    assert main(root) == 0
    rows = read_split(root / 'casting_cluster_level.csv')
    assert len(rows) == 32
    printed = capsys.readouterr().out
    assert 'clusters                 8\n' in printed
    assert 'leak                     1\n' in printed
    assert len(CastingDataset(data_root=str(root), pipeline=[])) == 16


def test_smoke_part_level(root: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out/split.csv'
    how = ['--protocol', 'part_level', '--out', out, '--seed', '1']
    assert main(root, *how) == 0
    assert read_split(out)[0].path == 'def_front/cast_def_0_0.jpeg'


def test_smoke_legacy(root: Path, capsys: Out) -> None:
    assert main(root, '--protocol', 'legacy') == 0
    printed = capsys.readouterr().out
    assert 'test       4: def_front 2, ok_front 2' in printed
    assert not list(root.glob('*.csv'))


def test_feature_calibrate_and_report(root: Path, tmp_path: Path, capsys: Out) -> None:
    pytest.importorskip('matplotlib')
    repo = tmp_path / 'repo'
    repo.mkdir()
    author = ['-c', 'user.name=a', '-c', 'user.email=a@b.c']
    for command in (['init'], [*author, 'commit', '--allow-empty', '-m', 'x']):
        subprocess.run(['git', *command, '-q'], cwd=repo, check=True)
    pictures, report = tmp_path / 'pictures', repo / 'casting_leakage.json'
    argv = [root, '--calibrate', '--siblings', '8', '--pictures', pictures]
    argv += ['--cache', tmp_path / 'cache.npz', '--report', report]
    # A part is a quarter of its class here, more than the goal allows.
    assert main(*argv) == 1
    assert 'no threshold has 99.5%' in capsys.readouterr().out
    assert not report.exists()

    wide = make_toy_casting(tmp_path / 'wide', parts=7, copies=2, size=64)
    assert main(wide, *argv[1:]) == 0
    content = json.loads(report.read_text(encoding='utf-8'))
    assert content['dataset'] == 'casting'
    metrics = content['metrics']
    assert metrics['sibling_recall'] == 1.0
    assert metrics['clusters'] == 14
    assert metrics['threshold'] == 0.7
    assert metrics['aligned/0.90/leak'] == metrics['leak']
    assert 'spectrum/0.95/recall' in metrics
    assert sorted(p.name for p in pictures.iterdir()) == ['clusters.png', 'leak.png']


def cut(path: Path) -> None:
    """Half a download; OpenCV would fill the rest with grey."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda r: shutil.rmtree(r / 'test/ok_front'), 'the class folder'),
        (lambda r: next((r / 'train/ok_front').iterdir()).write_bytes(b'x'), 'broken'),
        (lambda r: cut(next((r / 'test/def_front').iterdir())), 'truncated'),
        (shutil.rmtree, 'there is no folder'),
    ],
)
def test_exception_exit_status(root: Path, capsys: Out, damage, message: str) -> None:
    damage(root)
    assert main(root) == 1
    printed = capsys.readouterr().out
    assert 'ERROR: ' in printed
    assert message in printed
    assert not list(root.glob('*.csv'))


def test_exception_report(root: Path, tmp_path: Path, capsys: Out) -> None:
    """Said before minutes of work, not after."""
    report = ['--report', tmp_path / 'nowhere/x.json']
    assert main(root, '--calibrate', *report) == 1
    assert 'expected a git repository with a commit' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(root, *report)
