"""Results files: from a clean tree only, finite numbers only."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from mmdefect.utils.results import (
    clean_commit,
    mean_std,
    write_results,
)


def git(folder: Path, *args: str) -> str:
    identity = ['-c', 'user.name=t', '-c', 'user.email=t@example.invalid']
    done = subprocess.run(
        ['git', *identity, *args],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path) -> Path:
    root = tmp_path / 'repo'
    root.mkdir()
    git(root, 'init', '-q')
    (root / 'code.py').write_text('x = 1\n')
    git(root, 'add', 'code.py')
    git(root, 'commit', '-qm', 'first')
    return root


def write(path: Path, **changes):
    arguments = {
        'name': 'toy',
        'command': 'make demo',
        'dataset': 'toy NEU-DET',
        'seeds': [0, 1],
        'metrics': {'teacher/old': 0.71},
        'duration_s': 12.34,
    }
    return write_results(path, **(arguments | changes))


def test_smoke(repo) -> None:
    path = repo / 'docs' / 'results' / 'toy.json'
    content = write(path, notes='a note')
    assert json.loads(path.read_text()) == content
    assert list(content) == [
        'name',
        'command',
        'commit',
        'date',
        'duration_s',
        'hardware',
        'software',
        'dataset',
        'seeds',
        'metrics',
        'notes',
    ]
    assert content['commit'] == git(repo, 'rev-parse', 'HEAD')
    assert content['metrics'] == {'teacher/old': 0.71}
    assert content['duration_s'] == 12.3


def test_feature_a_results_file_may_be_written_again(repo) -> None:
    write(repo / 'toy.json')
    assert write(repo / 'toy.json', seeds=[7])['seeds'] == [7]


def test_feature_environment_of_the_run(repo) -> None:
    ran = {'commit': 'abcdef0123', 'hardware': 'a GPU', 'software': 'torch 2'}
    content = write(repo / 'toy.json', environment=ran)
    assert {key: content[key] for key in ran} == ran


@pytest.mark.parametrize('commit', ['unknown', 'abcdef0123-dirty'])
def test_exception_run_of_no_clean_commit(repo, commit) -> None:
    ran = {'commit': commit, 'hardware': '', 'software': ''}
    with pytest.raises(RuntimeError, match=f"came from commit '{commit}'"):
        write(repo / 'toy.json', environment=ran)


def test_feature_mean_std_of_samples() -> None:
    # statistics.stdev([1, 2, 4]) = sqrt(7 / 3)
    found = mean_std([{'a': 1.0}, {'a': 2.0}, {'a': 4.0}])
    assert found == pytest.approx({'a': 7 / 3, 'a_std': (7 / 3) ** 0.5})
    assert mean_std([{'a': 0.5}]) == {'a': 0.5}


@pytest.mark.parametrize('name', ['code.py', 'new.py'])
def test_exception_dirty_tree(repo, name) -> None:
    (repo / name).write_text('x = 2\n')
    with pytest.raises(
        RuntimeError, match=rf'uncommitted changes \({name}\).*commit f'
    ):
        write(repo / 'toy.json')
    assert not (repo / 'toy.json').exists()


def test_exception_no_repository(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path.parent))
    with pytest.raises(RuntimeError, match='is in no git repository'):
        clean_commit(tmp_path)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), None, 'high'])
def test_exception_not_a_number(repo, value) -> None:
    with pytest.raises(ValueError, match='metrics joint/all were given, finite'):
        write(repo / 'toy.json', metrics={'joint/all': value})


def test_exception_no_metrics(repo) -> None:
    with pytest.raises(ValueError, match='without any entry'):
        write(repo / 'toy.json', metrics={})


def test_exception_repetitions_differ() -> None:
    with pytest.raises(ValueError, match='no repetitions'):
        mean_std([])
    with pytest.raises(ValueError, match='b is in some repetitions only'):
        mean_std([{'a': 1.0}, {'a': 1.0, 'b': 2.0}])
