"""A work dir as an earlier version left it: step 0 finished, step 1 killed half-way.

Made once, at the commit before the package's modules moved (9ed7e0b and its next), by

    python tests/helpers/old_work_dir.py

in a checkout of that commit to which this file and tests/fixtures/tiny_sd-idd.py were
copied. Everything that later versions must read is in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'tests/fixtures/tiny_sd-idd.py'
ARCHIVE = ROOT / 'tests/fixtures/work_dir_before_moves.tar.xz'


def make_data(folder: Path) -> None:
    """Toy NEU-DET below ``folder/data``, always the same."""
    from mmdefect.testing import make_toy_neu_det

    root = folder / 'data/toy/NEU-DET'
    make_toy_neu_det(root, seed=0, per_class=4, size=96)
    tool = ROOT / 'tools/dataset_converters/neu_det.py'
    subprocess.run([sys.executable, tool, root], check=True, capture_output=True)


def command(folder: Path, *options: str) -> list[str]:
    """Train in ``folder``, with paths relative to it."""
    script = str(ROOT / 'tools/train.py')
    return [sys.executable, script, str(CONFIG), '--work-dir', 'work', *options]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_data(folder)
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
        env = {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'}
        env |= {'CUDA_VISIBLE_DEVICES': ''}
        killed = subprocess.Popen(command(folder), cwd=folder, env=env)
        while not (folder / 'work/step_1/last_checkpoint').is_file():
            if killed.poll() is not None:
                raise RuntimeError('it ended before it could be killed')
        killed.kill()
        killed.wait()
        shutil.rmtree(folder / 'work/report')  # drawn again, and most of the bytes
        with tarfile.open(ARCHIVE, 'w:xz') as archive:
            archive.add(folder / 'work', 'work')


if __name__ == '__main__':
    main()
