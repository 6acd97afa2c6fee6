"""What a run shows on the console, and what only its log file holds.

tests/tools/test_train_test.py looks at the console of whole runs.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from pathlib import Path

import mmengine.logging
import pytest
from mmengine.logging import MMLogger

from mmdefect.utils.console import quiet_console


@pytest.fixture(autouse=True)
def loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """No logger yet, and the console as loud as at first; the filter stays for good."""
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
    monkeypatch.setattr(MMLogger, '__init__', inspect.unwrap(MMLogger.__init__))
    original = inspect.unwrap(mmengine.logging.print_log)
    monkeypatch.setattr(mmengine.logging, 'print_log', original)


def shown(path: Path, level: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines of the console."""
    early = MMLogger.get_instance('early')
    quiet_console()
    quiet_console()
    mmengine.logging.print_log('a debug line without a logger', level=10)
    mmengine.logging.print_log('a line without a logger')
    late = MMLogger.get_instance('late', log_file=str(path), log_level=level)
    for logger in (early, late):
        logger.info('Config:\nmodel = 1')
        logger.info('\n' + '-' * 60 + '\nSystem environment:\n    a: b')
        logger.info('Hooks will be executed in the following order:\nbefore_run')
        logger.info('paramwise_options -- backbone.conv1.weight:lr=0.1')
        logger.info('Epoch(train) [1][1/1] loss: 1')
        logger.info('AnomalyDataset data/toy train: cloth 24 images.')
        logger.info('defective class: good, not defective: scrap')
        logger.info('Saving checkpoint at 1 epochs')
    return [line.rpartition(' - ')[2] for line in capsys.readouterr().out.splitlines()]


def test_feature_set_up_goes_to_the_log_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(tmp_path / 'run.log', 'INFO', capsys) == [
        'a line without a logger',
        f'config, environment and hooks: {tmp_path / "run.log"}',
        'Epoch(train) [1][1/1] loss: 1',
        'AnomalyDataset data/toy train: cloth 24 images.',
        'defective class: good, not defective: scrap',
        'Saving checkpoint at 1 epochs',
        'Epoch(train) [1][1/1] loss: 1',
        'Saving checkpoint at 1 epochs',
    ]
    text = (tmp_path / 'run.log').read_text(encoding='utf-8')
    for part in ('Config:\nmodel = 1', 'a: b', 'before_run', 'lr=0.1', 'cloth 24'):
        assert text.count(part) == 1


def test_feature_debug_shows_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(tmp_path / 'run.log', 'DEBUG', capsys)
    assert lines.count('Config:') == 1  # of the logger at DEBUG
    assert 'model = 1' in lines
