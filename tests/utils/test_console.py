"""What a run shows on the console, and what only its log file holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO, tool_env, toy_options

STREAM = REPO / 'configs/gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py'
PLAIN = REPO / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
# In a process of its own: the filter stays for good.
LOGGERS = """
import sys
from mmengine.logging import MMLogger, print_log
early = MMLogger.get_instance('early')
from mmdefect.utils.console import quiet_console
quiet_console()
quiet_console()
import mmengine.logging
mmengine.logging.print_log('a debug line without a logger', level=10)
mmengine.logging.print_log('a line without a logger')
late = MMLogger.get_instance('late', log_file=sys.argv[1], log_level=sys.argv[2])
for logger in (early, late):
    logger.info('Config:\\nmodel = 1')
    logger.info('\\n' + '-' * 60 + '\\nSystem environment:\\n    a: b')
    logger.info('Hooks will be executed in the following order:\\nbefore_run')
    logger.info('paramwise_options -- backbone.conv1.weight:lr=0.1')
    logger.info('Epoch(train) [1][1/1] loss: 1')
    logger.info('AnomalyDataset data/toy train: cloth 24 images.')
    logger.info('defective class: good, not defective: scrap')
    logger.info('Saving checkpoint at 1 epochs')
"""


def shown(path: Path, level: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, '-c', LOGGERS, str(path), level],
        cwd=REPO,
        env=tool_env(),
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.rpartition(' - ')[2] for line in done.stdout.splitlines()]


def test_feature_set_up_goes_to_the_log_file(tmp_path: Path) -> None:
    assert shown(tmp_path / 'run.log', 'INFO') == [
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


def test_feature_debug_shows_everything(tmp_path: Path) -> None:
    lines = shown(tmp_path / 'run.log', 'DEBUG')
    assert lines.count('Config:') == 1  # of the logger at DEBUG
    assert 'model = 1' in lines


def run(args: list[object]) -> list[str]:
    """Lines of both streams, in order."""
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=REPO,
        env=tool_env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize('config', [STREAM, PLAIN])
def test_feature_a_screen_before_the_first_loss(
    config: Path, toy_neu_det: Path, tmp_path: Path
) -> None:
    options = {
        **toy_options(toy_neu_det),
        'train_cfg.max_epochs': 1,
        'default_hooks.logger.interval': 1,
    }
    flags = [f'{key}={value}' for key, value in options.items()]
    only = ['--step', 0] if config == STREAM else []
    args = ['tools/train.py', config, '--work-dir', tmp_path, *only]
    lines = run([*args, '--cfg-options', *flags])
    first = next(i for i, line in enumerate(lines) if ' loss: ' in line)
    assert first < 40, '\n'.join(lines[:first])
    assert not any('OneDL' in line for line in lines)
    log, *_ = sorted(tmp_path.rglob('*.log'))  # its test has one of its own
    assert sum(line.endswith(f'and hooks: {log}') for line in lines) == 1
    text = log.read_text(encoding='utf-8')
    (dumped,) = log.parent.glob('vis_data/config.py')
    assert dumped.read_text(encoding='utf-8').strip() in text
    assert 'System environment:' in text
    assert 'Hooks will be executed in the following order' in text
