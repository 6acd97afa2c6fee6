from __future__ import annotations

import subprocess

from mmdefect.utils.environment import describe_environment, git_commit


def test_smoke() -> None:
    found = describe_environment()
    assert set(found) == {'commit', 'hardware', 'software'}
    assert found['commit']
    assert ' cores, ' in found['hardware']
    for name in ('Python 3.', 'torch 2.', 'mmengine ', 'mmcv ', 'mmdet '):
        assert name in found['software']


def test_feature_commit(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv('GIT_COMMIT', raising=False)
    monkeypatch.setenv('GIT_CEILING_DIRECTORIES', str(tmp_path.parent))
    assert git_commit(tmp_path) == 'unknown'
    assert git_commit('/proc/none') == 'unknown'
    monkeypatch.setenv('GIT_COMMIT', 'abc')
    assert git_commit(tmp_path) == 'abc'
    who = ('-c', 'user.name=a', '-c', 'user.email=a@b')
    commit = (*who, 'commit', '-q', '-m', 'x', '--allow-empty')
    for args in (('init', '-q'), commit):
        subprocess.run(['git', *args], cwd=tmp_path, check=True)
    commit = git_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / 'new.txt').write_text('x', encoding='utf-8')
    assert git_commit(tmp_path) == f'{commit}-dirty'
