"""What stands last on the screen when one of several processes fails.

Slow: two processes at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
)

from mmdefect.utils.launch import describe
from tests.conftest import REPO, tool_env


def failed(rank: int, exitcode: int, error_file: Path | str) -> ProcessFailure:
    return ProcessFailure(rank, 1000 + rank, exitcode, str(error_file))


def error_file(path: Path, text: str, moment: float) -> Path:
    """As torch writes it: times in whole seconds."""
    said = {'py_callstack': f'Traceback ...\n{text}\n', 'timestamp': str(int(moment))}
    content = {'message': {'message': text, 'extraInfo': said}}
    path.write_text(json.dumps(content), encoding='utf-8')
    os.utime(path, (moment, moment))
    return path


def test_feature_the_first_of_two(tmp_path: Path) -> None:
    """Within one second, the second lost its connection because of the first."""
    lost = error_file(tmp_path / '0', 'RuntimeError: Connection closed', 1000.9)
    cause = error_file(tmp_path / '1', 'ValueError: bad box', 1000.1)
    error = ChildFailedError('x', {0: failed(0, 1, lost), 1: failed(1, 1, cause)})
    assert describe(error) == 'Process 1 failed:\nTraceback ...\nValueError: bad box'


def test_feature_who_lost_the_other_is_not_the_cause(tmp_path: Path) -> None:
    """A killed process cannot write, and torch knows its end to the second only."""
    lost = error_file(
        tmp_path / '0', '[gloo/transport/tcp/pair.cc:538] Read err', 999.5
    )
    failures = {0: failed(0, 1, lost), 1: failed(1, -9, '<N/A>')}
    error = ChildFailedError('x', failures)
    assert describe(error).startswith('Process 1 was killed by SIGKILL; ')


def test_feature_a_process_that_said_nothing() -> None:
    killed = ChildFailedError('x', {1: failed(1, -9, '<N/A>')})
    assert describe(killed).startswith('Process 1 was killed by SIGKILL; ')
    ended = ChildFailedError('x', {0: failed(0, 2, '<N/A>')})
    assert describe(ended) == 'Process 0 ended with exit status 2: see above'


SCRIPT = """
import os, sys, time
from mmdefect.utils.interrupts import recorded

@recorded('start it again')
def main():
    rank, how = os.environ['RANK'], sys.argv[2]
    open(sys.argv[1] + rank, 'w').close()
    if how == 'refuse':
        raise ValueError('the step has no images: give it some')
    if how == 'fail' and rank == '1':
        [].pop()
    time.sleep(100)

main()
"""


def launched(tmp_path: Path, how: str) -> subprocess.Popen[str]:
    """Two processes of a light script, started as tools/dist_train.sh does."""
    script = tmp_path / 'script.py'
    script.write_text(SCRIPT, encoding='utf-8')
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    return subprocess.Popen(
        ['tools/dist_launch.sh', '2', str(script), str(tmp_path / 'ready_'), how],
        cwd=REPO,
        env=tool_env(PATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ('how', 'last'),
    [
        ('refuse', 'error: the step has no images: give it some'),
        ('fail', 'IndexError: pop from empty list'),
    ],
)
def test_feature_it_ends_in_what_one_process_said(
    how: str, last: str, tmp_path: Path
) -> None:
    """Once, whether one process fails or both."""
    with launched(tmp_path, how) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    lines = output.rstrip().splitlines()
    assert lines[-1] == last
    assert output.count(last) == 1
    (header,) = (line for line in lines if line.endswith(' failed:'))
    assert header in ('Process 0 failed:', 'Process 1 failed:')[how == 'fail' :]
    assert ('Traceback' in output) == ('line 12' in output) == (how == 'fail')
    assert 'ChildFailedError' not in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ('number', 'status'),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)],
)
def test_feature_interrupted(tmp_path: Path, number: int, status: int) -> None:
    """One of them says it, and nothing follows."""
    with launched(tmp_path, 'wait') as process:
        until = time.monotonic() + 120
        while len(list(tmp_path.glob('ready_*'))) < 2:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        # A terminal sends Ctrl-C to all processes, a scheduler its signal to one.
        send = os.killpg if number == signal.SIGINT else os.kill
        send(process.pid, number)
        output, _ = process.communicate(timeout=60)
    said = (process.returncode, output.strip())
    assert said == (status, 'interrupted; start it again')


@pytest.mark.slow
def test_feature_both_end_when_the_launcher_is_killed(tmp_path: Path) -> None:
    """Otherwise they would train on unseen, and in the way of the next start."""
    with launched(tmp_path, 'wait') as process:
        until = time.monotonic() + 120
        while len(list(tmp_path.glob('ready_*'))) < 2:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        process.kill()
        begin = time.monotonic()
        assert process.stdout is not None
        output = process.stdout.read()  # until both have closed it
    assert time.monotonic() - begin < 60
    assert output.strip() == 'interrupted; start it again'
