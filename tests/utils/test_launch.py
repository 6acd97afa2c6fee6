"""What stands last on the screen when one of several processes fails.

Slow: two processes at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


def test_feature_a_process_that_said_nothing() -> None:
    killed = ChildFailedError('x', {1: failed(1, -9, '<N/A>')})
    assert describe(killed).startswith('Process 1 was killed by SIGKILL; ')
    ended = ChildFailedError('x', {0: failed(0, 2, '<N/A>')})
    assert describe(ended) == 'Process 0 ended with exit status 2: see above'


FAILS = """
import os, time
rank = int(os.environ.get('RANK', 0))
if rank == {waits}:
    time.sleep(60)
raise ValueError('the step has no images: give it some')
"""


@pytest.mark.slow
@pytest.mark.parametrize(('waits', 'more'), [(0, ()), (None, ('--resume', 'none.pth'))])
def test_feature_dist_train_ends_in_the_sentence(
    waits: int | None, more: tuple[str, ...], tmp_path: Path
) -> None:
    """Once, whether one process fails, in the user's own code, or all refuse."""
    config = tmp_path / 'fails.py'
    text = '' if more else FAILS.format(waits=waits)
    config.write_text(text, encoding='utf-8')
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    done = subprocess.run(
        ['tools/dist_train.sh', str(config), '2', '--work-dir', str(tmp_path), *more],
        cwd=REPO,
        env=tool_env(PATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    lines = done.stdout.rstrip().splitlines()
    sentence = 'ValueError: the step has no images: give it some'
    if more:
        sentence = 'error: --resume none.pth: expected a checkpoint file; give one, or '
        assert lines[-2] in ('Process 0 failed:', 'Process 1 failed:')
        assert 'Traceback' not in done.stdout
    else:
        assert 'Process 1 failed:' in lines
        assert any('line 6' in line for line in lines)
    assert lines[-1].startswith(sentence)
    assert done.stdout.count(sentence) == 1
    assert 'ChildFailedError' not in done.stdout
