"""What surrounds the trainings of the demo, and the picture of a finished one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from tests.conftest import REPO
from tests.helpers.synthetic_stream import NEW, OLD, make_stream


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPO / f'tools/misc/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def demo() -> ModuleType:
    return loaded('demo')


GOOD = {
    'teacher': 0.6,
    'finetune_keeps': 0.4,
    'finetune_new': 0.8,
    'sd_idd_keeps': 0.8,
    'sd_idd_new': 0.68,
}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'teacher': 0.59}, 'teacher AP50 0.590, at least 0.6 expected'),
        ({'finetune_keeps': 0.41}, 'fine-tuning keeps 41%, at most 40% expected'),
        ({'sd_idd_keeps': 0.79}, 'SD-IDD keeps 79%, at least 80% expected'),
        ({'sd_idd_new': 0.67}, 'SD-IDD learns 84% of what fine-tuning does'),
        ({'sd_idd_keeps': None}, 'a stream has no scores'),
    ],
)
def test_feature_verdict(demo, change, message, capsys):
    assert demo.verdict(**GOOD) == 0
    assert demo.verdict(**{**GOOD, **change}) == 1
    assert f'FAILED: {message}' in capsys.readouterr().err


def test_feature_progress_once_an_epoch(demo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, 'WORK', tmp_path)
    line = 'INFO - Epoch(train)  [{}][{}/36]  lr: 1e-3  loss: {}  loss_cls: 0.1'
    rows = [(1, 10, 2.5), (1, 20, 2.25), (2, 10, 1.5)]
    text = '\n'.join(line.format(*row) for row in rows)
    demo.follow('train', ['echo', text])
    assert capsys.readouterr().out == '  epoch  1  loss 2.5\n  epoch  2  loss 1.5\n'
    assert (tmp_path / 'train.log').read_text(encoding='utf-8') == text + '\n'


def test_exception_failed_command_shows_its_log(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, 'WORK', tmp_path)
    with pytest.raises(SystemExit, match=r'broken failed, see .*broken\.log:\nno such'):
        demo.follow('broken', ['sh', '-c', 'echo no such thing; exit 3'])


KEEPS = [0.6, 0.7, 0.8, 0.5, 0.5, 0.5]


def finished(root: Path) -> Path:
    """Three streams whose third sample shows a new kind."""
    for preset in ('finetune', 'sd_idd', 'joint'):
        last = {} if preset == 'finetune' else {'last': KEEPS}
        work_dir = make_stream(root, preset, **last)
        config = work_dir / 'step_1' / f'{preset}.py'
        config.write_text('randomness = dict(seed=5)\n', encoding='utf-8')
        path = work_dir / 'step_1/samples.json'
        samples = json.loads(path.read_text(encoding='utf-8'))
        samples[2]['gt'][0]['label'] = NEW[0]
        path.write_text(json.dumps(samples), encoding='utf-8')
    return root


def test_feature_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PNG and the numbers in it, of the commit that the streams name."""
    git = ['git', '-c', 'user.name=t', '-c', 'user.email=t@example.invalid']
    (repo := tmp_path / 'repo').mkdir()
    for args in (['init', '-q'], ['commit', '-q', '--allow-empty', '-m', 'first']):
        subprocess.run([*git, *args], cwd=repo, check=True)
    words = ['--work-dir', finished(tmp_path / 'demo'), '--out', repo / 'shown']
    monkeypatch.setattr(sys, 'argv', ['demo_picture.py', *map(str, words)])
    loaded('demo_picture').main()
    content = json.loads((repo / 'shown.json').read_text(encoding='utf-8'))
    assert (content['name'], content['command']) == ('shown', 'make demo')
    assert (content['commit'], content['seeds']) == ('0123456789', [5])
    assert content['metrics']['finetune/old'] == pytest.approx(0.08 / 3)
    assert content['metrics']['sd_idd/old'] == pytest.approx(0.7)
    with Image.open(repo / 'shown.png') as picture:
        assert picture.width > 2 * picture.height


def test_feature_samples_of_the_picture() -> None:
    """The first of old kinds alone, and the first of new kinds alone."""
    kinds = [[OLD[0], NEW[0]], [NEW[1]], [], [OLD[1], OLD[2]], [OLD[0]], [NEW[0]]]
    samples = [
        {'img_path': str(k), 'gt': [{'label': name} for name in names]}
        for k, names in enumerate(kinds)
    ]
    assert loaded('demo_picture').chosen(samples, OLD) == ['3', '1']
