"""Results files: from a clean tree only, finite numbers only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.results import clean_commit, mean_std, read_growing, write_results
from tests.helpers.study_runs import git


@pytest.fixture
def repo(repository: Path) -> Path:
    return repository


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
    assert json.loads(path.read_text(encoding='utf-8')) == content
    first = 'name command commit date duration_s hardware software dataset'
    assert ' '.join(content) == f'{first} seeds metrics notes'
    assert content['commit'] == git(repo, 'rev-parse', 'HEAD')
    assert content['metrics'] == {'teacher/old': 0.71}
    assert content['duration_s'] == 12.3
    # It may be written again, of a run elsewhere.
    ran = {'commit': 'abcdef0123', 'hardware': 'a GPU', 'software': 'torch 2'}
    content = write(path, environment=ran)
    assert {key: content[key] for key in ran} == ran
    for commit in ('unknown', 'abcdef0123-dirty'):
        with pytest.raises(
            RuntimeError, match=f"came from commit '{commit}': expected"
        ):
            write(path, environment=ran | {'commit': commit})


def run_of(commit: str) -> dict:
    return {
        'metrics': {'teacher/old': 0.7, 'old': 0.1, 'new': 0.5, 'all': 0.3},
        'commit': commit,
        'date': '2026-01-02',
        'duration_s': 1.0,
        'hardware': 'a CPU',
        'software': 'torch 2',
        'command': 'make',
    }


def write_runs(path: Path, *commits: str, **changes):
    runs = {'finetune': {str(k): run_of(c) for k, c in enumerate(commits)}}
    ran = {'commit': '; '.join(commits), 'hardware': '', 'software': ''}
    return write(path, runs=runs, environment=ran, **changes)


def test_feature_runs_of_several_commits(repo) -> None:
    path = repo / 'toy.json'
    content = write_runs(path, 'abcdef0123', 'bcdef01234')
    assert content['commit'] == 'abcdef0123; bcdef01234'
    assert content['runs']['finetune']['1'] == run_of('bcdef01234')
    assert read_growing(path, name='toy', dataset='toy NEU-DET') == content
    with pytest.raises(ValueError, match="name='other': expected 'toy' as in"):
        read_growing(path, name='other', dataset='toy NEU-DET')
    with pytest.raises(ValueError, match="dataset='COCO': expected 'toy NEU-DET' as"):
        read_growing(path, name='toy', dataset='COCO')
    # One was resumed at a later commit.
    content = write_runs(path, 'abcdef0123; bcdef01234', 'abcdef0123')
    assert content['runs']['finetune']['0']['commit'] == 'abcdef0123; bcdef01234'


@pytest.mark.parametrize(
    'commit', ['unknown', 'abcdef0123-dirty', 'abcdef0123; bcdef01234-dirty']
)
def test_exception_one_run_of_no_clean_commit(repo, commit) -> None:
    message = f"the run of finetune, seed 1, came from commit '{commit}': expected"
    with pytest.raises(RuntimeError, match=message):
        write_runs(repo / 'toy.json', 'abcdef0123', commit)
    assert not (repo / 'toy.json').exists()


def test_exception_nothing_can_be_added(repo) -> None:
    path = repo / 'toy.json'
    assert read_growing(path, name='toy', dataset='x') == {}
    write(path)
    with pytest.raises(ValueError, match=r"toy\.json: .* in 'runs'.*without --add"):
        read_growing(path, name='toy', dataset='toy NEU-DET')
    path.write_text('<<<<<<< HEAD\n', encoding='utf-8')
    with pytest.raises(ValueError, match=r'toy\.json: expected a results file in JSON'):
        read_growing(path, name='toy', dataset='toy NEU-DET')


def test_feature_a_killed_write_leaves_the_old_file(repo, monkeypatch) -> None:
    path = repo / 'toy.json'
    write(path)
    before = path.read_text(encoding='utf-8')

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'replace', killed)
        with pytest.raises(KeyboardInterrupt):
            write(path, seeds=[7])
    assert path.read_text(encoding='utf-8') == before
    assert write(path, seeds=[8])['seeds'] == [8]
    assert sorted(p.name for p in repo.glob('toy*')) == ['toy.json']


def test_feature_mean_std_of_samples() -> None:
    # statistics.stdev([1, 2, 4]) = sqrt(7 / 3)
    found = mean_std([{'a': 1.0}, {'a': 2.0}, {'a': 4.0}])
    assert found == pytest.approx({'a': 7 / 3, 'a_std': (7 / 3) ** 0.5})
    assert mean_std([{'a': 0.5}]) == {'a': 0.5}


@pytest.mark.parametrize('name', ['code.py', 'new.py'])
def test_exception_dirty_tree(repo, name) -> None:
    (repo / name).write_text('x = 2\n', encoding='utf-8')
    said = rf'uncommitted changes \({name}\).*commit f'
    with pytest.raises(RuntimeError, match=said):
        write(repo / 'toy.json')
    assert not (repo / 'toy.json').exists()


def test_exception_no_repository(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path.parent))
    with pytest.raises(RuntimeError, match='expected a git repository'):
        clean_commit(tmp_path)


def test_exception_not_a_number(tmp_path) -> None:
    for value in (float('nan'), float('inf'), None, 'high'):
        with pytest.raises(ValueError, match='metrics joint/all: expected finite'):
            write(tmp_path / 'toy.json', metrics={'joint/all': value})
    with pytest.raises(ValueError, match='without any entry'):
        write(tmp_path / 'toy.json', metrics={})


def test_exception_repetitions_differ() -> None:
    with pytest.raises(ValueError, match='expected at least one repetition'):
        mean_std([])
    with pytest.raises(ValueError, match='b: expected in every repetition'):
        mean_std([{'a': 1.0}, {'a': 1.0, 'b': 2.0}])
