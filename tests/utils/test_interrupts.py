"""What is said when a signal ends a tool, and the exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPO, tool_env

LOADS = """
import importlib, os, time
hub = importlib.import_module('mmengine.logging').MessageHub
hub.get_current_instance().update_info('epoch', 1)
open({ready!r} + os.environ.get('RANK', '0'), 'w').close()
time.sleep(100)
"""


def interrupted(
    tmp_path: Path, tool: list[str], number: int, *, processes: int = 1
) -> tuple[int, str]:
    """Exit status and output of a tool that is signalled while it reads its config."""
    config = tmp_path / 'slow.py'
    text = LOADS.format(ready=f'{tmp_path}/ready_')
    config.write_text(text, encoding='utf-8')
    command = [*tool, str(config), *([str(processes)] if processes > 1 else [])]
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    with subprocess.Popen(
        [*command, '--work-dir', str(tmp_path / 'work')],
        cwd=REPO,
        env=tool_env(PATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        until = time.monotonic() + 120
        while len(list(tmp_path.glob('ready_*'))) < processes:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        # A terminal sends Ctrl-C to all processes, a scheduler its signal to one.
        send = os.killpg if number == signal.SIGINT else os.kill
        send(process.pid, number)
        output, _ = process.communicate(timeout=60)
    return process.returncode, output


@pytest.mark.parametrize(
    ('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_feature_one_process(tmp_path: Path, number: int, status: int) -> None:
    tool = [sys.executable, 'tools/train.py']
    found, output = interrupted(tmp_path, tool, number)
    sentence = 'interrupted at epoch 2; continue with --resume'
    assert (found, output.strip()) == (status, sentence)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_feature_two_processes(tmp_path: Path, number: int, status: int) -> None:
    """One of them says it, and nothing follows."""
    tool = ['tools/dist_train.sh']
    found, output = interrupted(tmp_path, tool, number, processes=2)
    sentence = 'interrupted at epoch 2; continue with --resume'
    assert (found, output.strip()) == (status, sentence)
