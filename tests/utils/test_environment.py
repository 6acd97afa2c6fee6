from __future__ import annotations

import subprocess

import pytest

from mmdefect.utils.environment import (
    describe_environment,
    describe_hardware,
    describe_software,
    git_commit,
)


def test_smoke() -> None:
    found = describe_environment()
    assert set(found) == {'commit', 'hardware', 'software'}
    assert all(found.values())


def test_feature_machine_and_versions() -> None:
    assert ' cores, ' in describe_hardware()
    for name in ('Python 3.', 'torch 2.', 'mmengine ', 'mmcv ', 'mmdet '):
        assert name in describe_software()


def test_feature_commit(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv('GIT_COMMIT', raising=False)
    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path.parent))
    assert git_commit(tmp_path) == 'unknown'
    monkeypatch.setenv('GIT_COMMIT', 'abc')
    assert git_commit(tmp_path) == 'abc'
    for args in (
        ['init', '-q'],
        [
            '-c',
            'user.name=a',
            '-c',
            'user.email=a@b',
            'commit',
            '-q',
            '-m',
            'x',
            '--allow-empty',
        ],
    ):
        subprocess.run(['git', *args], cwd=tmp_path, check=True)
    commit = git_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / 'new.txt').write_text('x', encoding='utf-8')
    assert git_commit(tmp_path) == f'{commit}-dirty'


@pytest.mark.parametrize('path', ['/proc/none'])
def test_feature_no_such_folder(path, monkeypatch) -> None:
    monkeypatch.delenv('GIT_COMMIT', raising=False)
    assert git_commit(path) == 'unknown'
