"""What an edge box has to hold, and how long until it has looked at its first image."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: What ``mmdefect[edge]`` needs, here in the versions of this environment.
PACKAGES = ('numpy', 'opencv-python-headless', 'onnxruntime', 'pillow')
FIRST = """
import sys
from mmdefect.apis import DefectInferencer
print(DefectInferencer(sys.argv[1]).predict_one(sys.argv[2]).decision)
if {'torch', 'mmengine'} & set(sys.modules):
    raise SystemExit('torch or OpenMMLab was imported')
"""


def edge_python(folder: Path) -> tuple[Path, float]:
    """Make an environment without torch.

    Returns:
        Its interpreter, and how many megabytes its packages take on the disk.

    Raises:
        RuntimeError: They cannot be installed here.
    """
    _run([sys.executable, '-m', 'venv', str(folder)])
    python = folder / 'bin/python'
    before = _disk_kib(folder)
    pinned = [f'{name}=={version(name)}' for name in PACKAGES]
    _run([str(python), '-m', 'pip', 'install', '--quiet', *pinned])
    return python, (_disk_kib(folder) - before) * 1024 / 1e6


def first_result_seconds(
    python: Path, package: Path, image: Path, *, runs: int
) -> float:
    """Median seconds of processes that open a package and look at one image."""
    taken = []
    for _ in range(runs + 1):  # the first compiles our sources
        begin = time.perf_counter()
        _run([str(python), '-c', FIRST, str(package), str(image)])
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken[1:])


def _disk_kib(folder: Path) -> int:
    return int(_run(['du', '-sk', str(folder)]).split()[0])


def _run(command: Sequence[str]) -> str:
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONNOUSERSITE': '1'}
    done = subprocess.run(  # noqa: S603  pip and Python, no shell
        command, capture_output=True, text=True, check=False, env=env, cwd='/'
    )
    if done.returncode:
        raise RuntimeError(f'{command[0]} failed: {done.stderr.strip()[-500:]}')
    return done.stdout
