"""One of two processes dies, or cannot go on: both end, and the stream resumes.

Slow: streams are trained in two processes.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from mmdefect.apis import load_config
from mmdefect.streams.state import StreamState
from tests.conftest import PROGRAMS, REPO, tool_env
from tests.helpers.tool_runs import run_script
from tests.streams.conftest import CONFIG, NAME, options

pytestmark = pytest.mark.slow
BROKEN = 'cannot load the image b.png (truncated or damaged): restore the file'


@pytest.fixture
def config(toy_neu_det: Path, tmp_path: Path) -> Path:
    more = options(
        toy_neu_det,
        **{
            'stream.increment.train_cfg.max_epochs': 2,
            'stream.increment.custom_hooks': [{'type': 'KillHook', 'step': 1}],
        },
    )
    cfg = load_config(CONFIG)
    cfg.merge_from_dict(more)
    cfg.custom_imports = {'imports': ['mmdefect', 'kill_hook']}
    cfg.pop('work_dir')
    path = tmp_path / f'{NAME}.py'
    cfg.dump(str(path))
    return path


@pytest.mark.parametrize(
    ('words', 'last'),
    [
        ('', 'Process 1 was killed by SIGKILL; SIGKILL often means that the mem'),
        (BROKEN, f'ValueError: {BROKEN}'),
    ],
)
def test_feature_both_end_and_the_stream_resumes(
    words: str, last: str, config: Path, warm: Path, tmp_path: Path
) -> None:
    """In less than a minute, with the reason of the one that was first."""
    work_dir, note = tmp_path / 'work', tmp_path / 'note'
    path = os.pathsep.join([str(warm), str(PROGRAMS), os.environ['PATH']])
    death = {'KILL_AT': '1,1,0', 'KILL_RANK': '1', 'KILL_NOTE': str(note)}
    done = subprocess.run(
        ['tools/dist_train.sh', str(config), '2', '--work-dir', str(work_dir)],
        cwd=REPO,
        env=tool_env(PATH=path, KILL_WORDS=words, **death),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=540,
        check=False,
    )
    assert time.time() - note.stat().st_mtime < 60
    assert done.returncode == 1
    assert done.stdout.rstrip().splitlines()[-1].startswith(last), done.stdout[-3000:]
    assert StreamState.load(work_dir).steps[1].state == 'running'
    args = (config, 2, '--work-dir', work_dir, '--resume')
    run_script('tools/dist_train.sh', *args, programs=warm)
    assert [s.state for s in StreamState.load(work_dir).steps] == ['finished'] * 2
