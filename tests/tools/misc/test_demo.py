from __future__ import annotations

import importlib.util

import pytest

from tests.conftest import REPO


@pytest.fixture(scope='module')
def demo():
    path = REPO / 'tools/misc/demo.py'
    spec = importlib.util.spec_from_file_location('demo', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
