"""``tools/dist_predict.sh`` with two processes, killed in between.

Slow: the launcher imports torch, and so does each of the processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mmdefect.cli.main import main
from tests.conftest import REPO, tool_env
from tests.helpers.hand_package import hand_package
from tests.helpers.photos import photos


def start(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(REPO / 'tools/dist_predict.sh'), *map(str, words)],
        env=tool_env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(out: Path) -> int:
    return sum(
        file.read_bytes().count(b'\n') for file in out.glob('results.rank-*.jsonl')
    )


@pytest.mark.slow
def test_feature_two_processes(tmp_path: Path) -> None:
    """One is killed, all are started again: they leave what one process does."""
    model, folder = tmp_path / 'model', tmp_path / 'photos'
    out, alone = tmp_path / 'out', tmp_path / 'alone'
    hand_package(model, 'labels', defective='red', thresholds={'red': 0.5})
    photos(folder, 3000)
    first = start(model, 2, folder, '--out', out)
    until = time.monotonic() + 120
    while written(out) < 20 and first.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    children = Path(f'/proc/{first.pid}/task/{first.pid}/children')
    os.kill(int(children.read_text(encoding='utf-8').split()[0]), signal.SIGKILL)
    _, errors = first.communicate(timeout=120)
    assert 'was killed by SIGKILL' in errors
    before = written(out)
    assert 20 <= before < 3001, errors
    again = start(model, 2, folder, '--out', out)
    said, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert 'of 3001 were done before' in said
    assert said.splitlines()[-2].startswith('3001 images: 2000 ok, 1000 defective')
    assert not main(['predict', str(model), str(folder), '--out', str(alone)])
    names = {path.name for path in out.iterdir()}
    assert names == {'.lock', 'results.jsonl', 'settings.json'}
    for name in ('results.jsonl', 'settings.json'):
        assert (out / name).read_bytes() == (alone / name).read_bytes()


@pytest.mark.slow
def test_exception_one_sentence(tmp_path: Path) -> None:
    """Other settings: the first process that sees it ends them all."""
    model, out = tmp_path / 'model', tmp_path / 'out'
    hand_package(model, 'labels', defective='red', thresholds={'red': 0.5})
    folder = photos(tmp_path / 'photos', 2)
    assert not main(['predict', str(model), str(folder), '--out', str(out)])
    done = start(model, 2, folder, '--out', out, '--threshold', '0.9')
    _, errors = done.communicate(timeout=240)
    assert done.returncode != 0
    assert 'holds results made with another' in errors
    assert 'Traceback' not in errors
    text = (out / 'settings.json').read_text(encoding='utf-8')
    assert json.loads(text)['threshold'] is None
