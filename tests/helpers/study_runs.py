"""Work dirs of compared classifiers, a repository for results, and tools as modules."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from mmdefect.comparison.record import PREDICTIONS, RunRecord, write_record
from mmdefect.evaluation.predictions import Prediction

RECORD = RunRecord(
    model='luna',
    recipe='default',
    protocol='cluster_level',
    freeze='none',
    seed=0,
    parameters=115_088,
    trainable=115_088,
    epochs=2,
    seconds_per_epoch=12.5,
    latency_ms_p50=3.25,
    latency_ms_p95=4.5,
    checkpoint='calibrated.pth',
    train_images=700,
    command='tools/dist_train.sh configs/casting/luna_casting.py 1',
    commit='0123456789abcdef0123456789abcdef01234567',
    hardware='a test',
    software='Python',
)
# Two defective images and two sound ones: a miss and a false alarm among them.
SAID = [
    Prediction(0, 0, 0.9),
    Prediction(0, 1, 0.3),
    Prediction(1, 0, 0.6),
    Prediction(1, 1, 0.1),
]
PERFECT = [Prediction(0, 0, 0.9)] * 2 + [Prediction(1, 1, 0.1)] * 2
WorkDir = Callable[..., Path]
ROOT = Path(__file__).parents[2]


@lru_cache
def load_tool(script: str) -> Any:
    """A tool as a module: ``main(argv)`` costs no new interpreter."""
    path = ROOT / script
    spec: Any = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def git(folder: Path, *args: str) -> str:
    identity = ['-c', 'user.name=t', '-c', 'user.email=t@example.invalid']
    command = ['git', *identity, *args]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, of ``code.py``."""
    folder = tmp_path / 'repository'
    folder.mkdir()
    (folder / 'code.py').write_text('x = 1\n', encoding='utf-8')
    git(folder, 'init', '-q')
    git(folder, 'add', 'code.py')
    git(folder, 'commit', '-qm', 'first')
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> WorkDir:
    """A work dir as a finished run leaves it."""

    def make(
        name: str, predictions: Sequence[Prediction] = SAID, **changes: object
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        write_record(folder, replace(RECORD, **changes))  # type: ignore[arg-type]
        rows = (
            dict(row._asdict(), path=f'test/{number}.jpeg')
            for number, row in enumerate(predictions)
        )
        (folder / PREDICTIONS).write_text(
            ''.join(f'{json.dumps(r)}\n' for r in rows), encoding='utf-8'
        )
        return folder

    return make
