"""collect_stream_results.py and render_results.py as a user runs them."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.conftest import run_tool
from tests.helpers.synthetic_stream import make_stream


def finished(root, name='finetune', *, seed=5):
    work_dir = make_stream(root, name)
    config = work_dir / 'step_1' / f'{name}.py'
    config.write_text(f'randomness = dict(seed={seed})\n', encoding='utf-8')
    return work_dir


@pytest.fixture
def repo(tmp_path):
    repo = tmp_path / 'repo'
    repo.mkdir()
    (repo / 'README.md').write_text(
        '<!-- results:toy -->\n<!-- /results -->\n', encoding='utf-8'
    )
    git = ['git', '-c', 'user.name=t', '-c', 'user.email=t@example.invalid']
    for args in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'first']):
        subprocess.run([*git, *args], cwd=repo, check=True)
    return repo


def test_smoke(tmp_path, repo) -> None:
    work_dir = finished(tmp_path)
    out = repo / 'docs' / 'results' / 'toy.json'
    collect = ['--name', 'toy', '--dataset', 'toy', '--out', out, '--command', 'make']
    tool = 'tools/misc/collect_stream_results.py'
    run_tool(tool, *collect, '--add', f'finetune={work_dir}')
    content = json.loads(out.read_text(encoding='utf-8'))
    assert content['seeds'] == [5]
    assert round(content['metrics']['finetune/all'], 3) == 0.375

    render = ['tools/misc/render_results.py', '--root', repo]
    done = run_tool(*render, '--check', check=False)
    assert done.returncode == 1
    assert 'differs from its results' in done.stdout
    run_tool(*render)
    assert '| `finetune` | 71.0 | 2.7 | 72.3 | 37.5 |' in (
        repo / 'README.md'
    ).read_text(encoding='utf-8')
    run_tool(*render, '--check')


def test_feature_written_anew_then_grown(tmp_path, repo) -> None:
    out = repo / 'toy.json'
    out.write_text('{"name": "nothing of this stays"}', encoding='utf-8')
    tool = ['tools/misc/collect_stream_results.py', '--name', 'toy', '--out', out]
    tool += ['--dataset', 'toy', '--command']
    first, other = finished(tmp_path), finished(tmp_path, 'joint', seed=6)
    run_tool(*tool, 'one', '--notes', 'n', f'finetune={first}')
    run_tool(*tool, 'two', '--add', f'joint={other}')
    content = json.loads(out.read_text(encoding='utf-8'))
    assert {name: list(runs) for name, runs in content['runs'].items()} == {
        'finetune': ['5'],
        'joint': ['6'],
    }
    assert content['seeds'] == [5, 6]
    assert (content['command'], content['notes']) == ('two', 'n')
    assert content['runs']['finetune']['5']['command'] == 'one'


def test_exception_a_preset_twice(tmp_path) -> None:
    tool = ['tools/misc/collect_stream_results.py', '--name', 'toy', '--out', 'x']
    tool += ['--dataset', 'toy', '--command', 'make', 'joint=a', 'joint=b']
    done = run_tool(*tool, check=False)
    assert done.returncode == 2
    assert 'joint was given twice' in done.stderr
