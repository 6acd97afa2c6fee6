"""collect_stream_results.py and render_results.py as a user runs them."""

from __future__ import annotations

import json
import subprocess

from tests.conftest import run_tool
from tests.helpers.synthetic_stream import make_stream


def test_smoke(tmp_path) -> None:
    work_dir = make_stream(tmp_path)
    (work_dir / 'step_1' / 'finetune.py').write_text('randomness = dict(seed=5)\n')
    repo = tmp_path / 'repo'
    repo.mkdir()
    (repo / 'README.md').write_text('<!-- results:toy -->\n<!-- /results -->\n')
    git = ['git', '-c', 'user.name=t', '-c', 'user.email=t@example.invalid']
    for args in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'first']):
        subprocess.run([*git, *args], cwd=repo, check=True)

    out = repo / 'docs' / 'results' / 'toy.json'
    collect = ['--name', 'toy', '--dataset', 'toy', '--out', out, '--command', 'make']
    run_tool('tools/misc/collect_stream_results.py', *collect, f'finetune={work_dir}')
    content = json.loads(out.read_text())
    assert content['seeds'] == [5]
    assert round(content['metrics']['finetune/all'], 3) == 0.375

    render = ['tools/misc/render_results.py', '--root', repo]
    done = run_tool(*render, '--check', check=False)
    assert done.returncode == 1
    assert 'differs from its results' in done.stdout
    run_tool(*render)
    assert (
        '| `finetune` | 71.0 | 2.7 | 72.3 | 37.5 |' in (repo / 'README.md').read_text()
    )
    run_tool(*render, '--check')
