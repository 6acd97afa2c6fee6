"""The notebooks run from top to bottom on toy castings, one after the other.

As plain Python in a process of their own: Jupyter is not needed to test them. They
train: slow.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPO, tool_env

NAMES = ('train_models', 'load_models')
# Many epochs teach more, and nothing else is looked at here.
SHORTER = ('train_cfg.max_epochs=4', 'train_cfg.max_epochs=1')
# What a notebook shows by itself.
SHOWN = {'train_models': '', 'load_models': "\n\npicture.save('picture.png')"}


def code_of(name: str) -> str:
    content = json.loads((REPO / f'demo/{name}.ipynb').read_text(encoding='utf-8'))
    cells = [cell for cell in content['cells'] if cell['cell_type'] == 'code']
    return '\n\n'.join(''.join(cell['source']) for cell in cells)


@pytest.mark.parametrize('name', NAMES)
def test_smoke_nothing_of_a_run_is_committed(name: str) -> None:
    content = json.loads((REPO / f'demo/{name}.ipynb').read_text(encoding='utf-8'))
    for cell in content['cells']:
        assert not cell.get('outputs')
        assert cell.get('execution_count') is None


def test_smoke_notebook_is_shortened() -> None:
    assert code_of('train_models').count(SHORTER[0]) == 1


@pytest.mark.slow
def test_feature_notebooks_run(warm: Path, tmp_path: Path) -> None:
    """In a copy of what they use, so that data and work dirs are fresh."""
    for folder in ('configs', 'demo', 'tools'):
        shutil.copytree(REPO / folder, tmp_path / folder)
    outputs = {}
    for name in NAMES:
        script = tmp_path / f'{name}.py'
        script.write_text(code_of(name).replace(*SHORTER) + SHOWN[name])
        done = subprocess.run(
            [warm / 'python', script],
            cwd=tmp_path / 'demo',
            env=tool_env(),
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        outputs[name] = done.stdout
    assert 'luna-gap fraction-0.33' in outputs['train_models']
    assert (tmp_path / 'work_dirs/notebook/comparison/index.html').is_file()
    assert 'calibrated.pth' in outputs['load_models']
    with Image.open(tmp_path / 'demo/picture.png') as file:
        shown = np.asarray(file)
    image, heat = np.split(shown[:, : shown.shape[1] // 2 * 2], 2, axis=1)
    # A grey casting, and colours from blue to red on it.
    assert np.ptp(image[:, :-4], axis=2).max() == 0
    assert np.ptp(heat[:, 4:], axis=2).max() > 100
