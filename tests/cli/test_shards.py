"""Images shared out over processes; the processes themselves: test_dist_predict.py."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mmdefect.cli.main import main
from mmdefect.cli.results import ResultFolder
from mmdefect.cli.shards import Share, share_of, take_gpu
from tests.helpers.hand_package import hand_package
from tests.helpers.photos import photos

TORCHRUN = {'RANK': '1', 'WORLD_SIZE': '3', 'MASTER_ADDR': 'a', 'MASTER_PORT': '7'}
SLURM = {'SLURM_PROCID': '2', 'SLURM_NTASKS': '4', 'SLURM_JOB_ID': '9'}


def test_smoke_share() -> None:
    assert share_of('none', TORCHRUN) == Share(0, 1)
    assert share_of('pytorch', TORCHRUN) == Share(1, 3, 'a:7:')
    assert share_of('slurm', SLURM) == Share(2, 4, '9:')
    items = [*range(8)]
    parts = [Share(rank, 3).of(items) for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_exception_not_started() -> None:
    with pytest.raises(ValueError, match='expected SLURM_PROCID and SLURM_NTASKS in'):
        share_of('slurm', TORCHRUN)
    with pytest.raises(ValueError, match="launcher='mpi': expected one of none"):
        share_of('mpi', TORCHRUN)


@pytest.mark.parametrize(
    ('given', 'gpus', 'local', 'expected'),
    [
        (None, 2, '1', '1'),
        (None, 2, '3', '1'),
        (None, 0, '1', None),
        ('4,6', 8, '1', '6'),
        ('', 8, '1', ''),
    ],
)
def test_feature_a_gpu_each(
    given: str | None,
    gpus: int,
    local: str,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('LOCAL_RANK', local)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', given or '')
    if given is None:
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES')
    take_gpu('none', gpus)
    assert environment() == given
    take_gpu('pytorch', gpus)
    assert environment() == expected


def environment() -> str | None:
    return os.environ.get('CUDA_VISIBLE_DEVICES')


def test_feature_the_first_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For what the others say in this run; a word of an earlier one does not count."""
    Share(1, 3, 'before').say_done(tmp_path)
    said = [Share(2, 3, 'now'), Share(1, 3, 'now')]
    monkeypatch.setattr(
        'mmdefect.cli.shards.time.sleep', lambda _: said.pop().say_done(tmp_path)
    )
    Share(0, 3, 'now').wait_for_others(tmp_path)
    assert not said


def as_rank(
    monkeypatch: pytest.MonkeyPatch, rank: int, world: int, *words: object
) -> int:
    environment = {'RANK': rank, 'WORLD_SIZE': world, 'MASTER_PORT': 5}
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    return main(['predict', *map(str, words), '--launcher', 'pytorch'])


@pytest.fixture
def alone(tmp_path: Path) -> tuple[Path, list[object]]:
    """What one process writes, and the words that made it."""
    model, out = tmp_path / 'model', tmp_path / 'alone'
    hand_package(model, 'labels', defective='red', thresholds={'red': 0.5})
    words = [model, photos(tmp_path / 'photos', 5), '--format', 'json', '--out']
    assert main(['predict', *map(str, words), str(out)]) == 0
    return out, words


def begun(tmp_path: Path, alone: Path) -> Path:
    """A folder that the first process has opened."""
    out = tmp_path / 'out'
    out.mkdir()
    shutil.copy(alone / 'settings.json', out)
    return out


def test_feature_one_result(
    tmp_path: Path,
    alone: tuple[Path, list[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of one process, in the order of the images, and nothing else is left."""
    expected, words = alone
    out = begun(tmp_path, expected)
    assert as_rank(monkeypatch, 1, 2, *words, out) == 0
    assert {path.name for path in out.iterdir()} == {
        'results.rank-1-of-2.jsonl',
        'rank-1-of-2.done',
        'settings.json',
    }
    assert as_rank(monkeypatch, 0, 2, *words, out) == 0
    for name in ('results.jsonl', 'results.json', 'settings.json'):
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    assert names(out) == names(expected)


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


def test_feature_goes_on_with_another_number(
    tmp_path: Path,
    alone: tuple[Path, list[object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Three were killed, one goes on: what they have done counts."""
    expected, words = alone
    out = begun(tmp_path, expected)
    for rank in (2, 1):
        as_rank(monkeypatch, rank, 3, *words, out)
    with (out / 'results.rank-1-of-3.jsonl').open('a', encoding='utf-8') as file:
        file.write('{"source": "half a li')
    capsys.readouterr()
    assert main(['predict', *map(str, words), str(out)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == '3 of 6 were done before'
    assert len(said) == 1 + 3 + 2
    found = (out / 'results.jsonl').read_bytes()
    assert found == (expected / 'results.jsonl').read_bytes()
    assert names(out) == names(expected)


def test_exception_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who would remove, and when?"""
    out = tmp_path / 'out'
    assert as_rank(monkeypatch, 0, 2, 'm', 'p', '--out', out, '--overwrite') == 1
    assert '--overwrite: expected one process' in capsys.readouterr().err


def test_feature_others_wait_for_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which looks whose folder it is, and says what results are made with."""
    first = ResultFolder(tmp_path / 'out', share=Share(0, 2))
    monkeypatch.setattr('mmdefect.cli.shards.time.sleep', lambda _: first.open({}))
    second = ResultFolder(tmp_path / 'out', share=Share(1, 2))
    second.open({})
    assert names(tmp_path / 'out') == {
        '.lock',
        'results.rank-0-of-2.jsonl',
        'results.rank-1-of-2.jsonl',
        'settings.json',
    }
    with pytest.raises(FileExistsError, match='made with another tile'):
        second.open({'tile': '1,2'})


def test_exception_two_at_once(tmp_path: Path) -> None:
    first, second = ResultFolder(tmp_path), ResultFolder(tmp_path)
    first.open({})
    with pytest.raises(FileExistsError, match='being written by another process'):
        second.open({})
    first.close()
    second.open({})
