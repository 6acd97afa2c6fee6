"""``tools/dist_predict.sh`` with two processes, killed in between.

Slow: three processes, twice.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mmdefect.cli.main import main
from tests.conftest import PROGRAMS, REPO, tool_env
from tests.helpers.hand_package import hand_package
from tests.helpers.photos import photos

IMAGES = 900


def start(programs: Path, *words: object) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(programs), str(PROGRAMS), os.environ['PATH']])
    return subprocess.Popen(
        [str(REPO / 'tools/dist_predict.sh'), *map(str, words)],
        env=tool_env(PATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(out: Path) -> int:
    return sum(
        file.read_bytes().count(b'\n') for file in out.glob('results.rank-*.jsonl')
    )


def started(out: Path) -> list[int]:
    """The processes that look at images."""
    found = []
    for folder in Path('/proc').glob('[0-9]*'):
        with suppress(OSError):  # it has ended
            words = (folder / 'cmdline').read_bytes()
            if b'\0-m\0mmdefect\0' in words and bytes(out) in words:
                found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_feature_two_processes(warm: Path, tmp_path: Path) -> None:
    """One is killed, all are started again: they leave what one process does."""
    model, folder = tmp_path / 'model', tmp_path / 'photos'
    out, alone = tmp_path / 'out', tmp_path / 'alone'
    hand_package(model, 'labels', defective='red', thresholds={'red': 0.5})
    photos(folder, IMAGES)
    first = start(warm, model, 2, folder, '--out', out)
    until = time.monotonic() + 120
    while not (children := started(out)) and time.monotonic() < until:
        time.sleep(0.05)
    while not written(out) and first.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    os.kill(children[0], signal.SIGKILL)
    _, errors = first.communicate(timeout=120)
    assert 'was killed by SIGKILL' in errors
    before = written(out)
    assert 0 < before < IMAGES + 1, errors
    again = start(warm, model, 2, folder, '--out', out)
    said, errors = again.communicate(timeout=240)
    assert again.returncode == 0, errors
    assert f'of {IMAGES + 1} were done before' in said
    counts = f'{2 * IMAGES // 3} ok, {IMAGES // 3} defective'
    assert said.splitlines()[-2].startswith(f'{IMAGES + 1} images: {counts}')
    assert not main(['predict', str(model), str(folder), '--out', str(alone)])
    names = {path.name for path in out.iterdir()}
    assert names == {'.lock', 'results.jsonl', 'settings.json'}
    for name in ('results.jsonl', 'settings.json'):
        assert (out / name).read_bytes() == (alone / name).read_bytes()


@pytest.mark.slow
def test_exception_one_sentence(warm: Path, tmp_path: Path) -> None:
    """Other settings: the first process that sees it ends them all."""
    model, out = tmp_path / 'model', tmp_path / 'out'
    hand_package(model, 'labels', defective='red', thresholds={'red': 0.5})
    folder = photos(tmp_path / 'photos', 2)
    assert not main(['predict', str(model), str(folder), '--out', str(out)])
    done = start(warm, model, 2, folder, '--out', out, '--threshold', '0.9')
    _, errors = done.communicate(timeout=240)
    assert done.returncode != 0
    assert 'holds results made with another' in errors
    assert 'Traceback' not in errors
    text = (out / 'settings.json').read_text(encoding='utf-8')
    assert json.loads(text)['threshold'] is None
