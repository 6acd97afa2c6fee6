"""collect_stream_results.py and render_results.py, on a repository of their own."""

from __future__ import annotations

import json

import pytest

from tests.helpers.study_runs import git, load_tool
from tests.helpers.synthetic_stream import make_stream


def collect(*args: object) -> None:
    tool = load_tool('tools/misc/collect_stream_results.py')
    tool.main(['--name', 'toy', '--dataset', 'toy', *map(str, args)])


def finished(root, name='finetune', *, seed=5):
    work_dir = make_stream(root, name)
    config = work_dir / 'step_1' / f'{name}.py'
    config.write_text(f'randomness = dict(seed={seed})\n', encoding='utf-8')
    return work_dir


@pytest.fixture
def repo(repository):
    text = '<!-- results:toy -->\n<!-- /results -->\n'
    (repository / 'README.md').write_text(text, encoding='utf-8')
    git(repository, 'add', '.')
    git(repository, 'commit', '-qm', 'second')
    return repository


def test_smoke(tmp_path, repo, capsys) -> None:
    out = repo / 'docs' / 'results' / 'toy.json'
    collect(
        '--out', out, '--command', 'make', '--add', f'finetune={finished(tmp_path)}'
    )
    content = json.loads(out.read_text(encoding='utf-8'))
    assert content['seeds'] == [5]
    assert round(content['metrics']['finetune/all'], 3) == 0.375
    render = load_tool('tools/misc/render_results.py').main
    root = ['--root', str(repo)]
    assert render([*root, '--check']) == 1
    assert 'differs from its results' in capsys.readouterr().out
    assert render(root) == 0
    text = (repo / 'README.md').read_text(encoding='utf-8')
    assert '| `finetune` | 71.0 | 2.7 | 72.3 | 37.5 |' in text
    assert render([*root, '--check']) == 0


def test_feature_written_anew_then_grown(tmp_path, repo, capsys) -> None:
    out = repo / 'toy.json'
    out.write_text('{"name": "nothing of this stays"}', encoding='utf-8')
    first, other = finished(tmp_path), finished(tmp_path, 'joint', seed=6)
    tool = ['--out', out, '--command']
    collect(*tool, 'one', '--notes', 'n', f'finetune={first}')
    collect(*tool, 'two', '--add', f'joint={other}')
    content = json.loads(out.read_text(encoding='utf-8'))
    runs = {name: list(runs) for name, runs in content['runs'].items()}
    assert runs == {'finetune': ['5'], 'joint': ['6']}
    assert content['seeds'] == [5, 6]
    assert (content['command'], content['notes']) == ('two', 'n')
    assert content['runs']['finetune']['5']['command'] == 'one'
    with pytest.raises(SystemExit, match='2'):
        collect('--out', 'x', '--command', 'make', 'joint=a', 'joint=b')
    assert 'joint: expected it once' in capsys.readouterr().err
