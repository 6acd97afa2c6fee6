from __future__ import annotations

import json
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from mmdefect.datasets.casting.dataset import CastingDataset
from mmdefect.datasets.casting.split import read_split
from mmdefect.testing import make_toy_casting

ROOT = Path(__file__).parents[3]
main = runpy.run_path(str(ROOT / 'tools/dataset_converters/casting.py'))['main']


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_toy_casting(
        tmp_path / 'casting', parts=4, copies=4, size=64, originals=True
    )


def test_smoke(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root)]) == 0
    rows = read_split(root / 'casting_cluster_level.csv')
    assert len(rows) == 32
    printed = capsys.readouterr().out
    assert 'clusters                 8\n' in printed
    assert 'leak                     1\n' in printed
    assert len(CastingDataset(data_root=str(root), pipeline=[])) == 16


def test_smoke_part_level(root: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out/split.csv'
    argv = [str(root), '--protocol', 'part_level', '--out', str(out), '--seed', '1']
    assert main(argv) == 0
    assert read_split(out)[0].path == 'def_front/cast_def_0_0.jpeg'


def test_smoke_legacy(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(root), '--protocol', 'legacy']) == 0
    printed = capsys.readouterr().out
    assert 'test       4: def_front 2, ok_front 2' in printed
    assert not list(root.glob('*.csv'))


def test_feature_calibrate_and_report(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip('matplotlib')
    repo = tmp_path / 'repo'
    repo.mkdir()
    for command in (
        ['init', '-q'],
        [
            *('-c', 'user.name=a', '-c', 'user.email=a@b.c'),
            *('commit', '-q', '--allow-empty', '-m', 'x'),
        ],
    ):
        subprocess.run(['git', *command], cwd=repo, check=True)
    pictures, report = tmp_path / 'pictures', repo / 'casting_leakage.json'
    argv = [str(root), '--calibrate', '--siblings', '8', '--pictures', str(pictures)]
    argv += ['--cache', str(tmp_path / 'cache.npz')]
    # A part is a quarter of its class here, more than the goal allows.
    assert main([*argv, '--report', str(report)]) == 1
    assert 'No threshold has at least 99.5%' in capsys.readouterr().out
    assert not report.exists()

    wide = make_toy_casting(tmp_path / 'wide', parts=7, copies=2, size=64)
    argv[0] = str(wide)
    assert main([*argv, '--report', str(report)]) == 0
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
        (lambda r: shutil.rmtree(r / 'test/ok_front'), 'The class folder'),
        (
            lambda r: next((r / 'train/ok_front').iterdir()).write_bytes(b'x'),
            'broken images',
        ),
        (lambda r: cut(next((r / 'test/def_front').iterdir())), 'truncated'),
        (lambda r: shutil.rmtree(r), 'There is no folder'),
    ],
)
def test_exception_exit_status(
    root: Path, capsys: pytest.CaptureFixture[str], damage, message: str
) -> None:
    damage(root)
    assert main([str(root)]) == 1
    printed = capsys.readouterr().out
    assert 'ERROR: ' in printed
    assert message in printed
    assert not list(root.glob('*.csv'))


def test_exception_report_on_a_changed_tree(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before minutes of work, not after."""
    argv = ['--calibrate', '--report', str(tmp_path / 'nowhere/x.json')]
    assert main([str(root), *argv]) == 1
    assert 'is in no git repository' in capsys.readouterr().out


def test_exception_report_without_calibration(root: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(root), '--report', 'x.json'])
