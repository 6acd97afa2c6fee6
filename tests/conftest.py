"""Toy data on disk, made once a session, and the environment of subprocesses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

# CPU only, also on a machine with a GPU: bit equality is promised there.
os.environ['CUDA_VISIBLE_DEVICES'] = ''
# Workers share the cores, and threads that wait for each other count as work.
os.environ.setdefault('OMP_NUM_THREADS', '1')

# Fixtures that tests of several packages share, and what the tiers may take.
pytest_plugins = (
    'tests.helpers.dataset_files',
    'tests.helpers.lines',
    'tests.helpers.process_group',
    'tests.helpers.quick_layout',
    'tests.helpers.study_runs',
    'tests.helpers.tiers',
)

REPO = Path(__file__).parent.parent
HELPERS = Path(__file__).parent / 'helpers'
PROGRAMS = Path(sys.executable).parent
LOADERS = ('train', 'val', 'test')


@pytest.fixture(scope='module', autouse=True)
def nothing_left_of_runners() -> None:
    """A runner leaves its scope and its visualizer, whose folder may be gone.

    Each module starts without.
    """
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer

    for kind in (DefaultScope, Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()


@pytest.fixture(scope='session')
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of a ``python`` that has torch imported, for many short commands."""
    from tests.helpers import warm_python

    with warm_python.start(tmp_path_factory.mktemp('warm')) as programs:
        yield programs


@pytest.fixture(scope='session')
def toy_neu_det(tmp_path_factory) -> Path:
    """NEU-DET in miniature: 60 images of 96 px, converted by the real converter."""
    from mmdefect.testing import make_toy_neu_det

    root = tmp_path_factory.mktemp('toy') / 'NEU-DET'
    make_toy_neu_det(root, seed=0, per_class=10, size=96)
    assert not load_tool('tools/dataset_converters/neu_det.py').main([str(root)])
    return root


def toy_options(root: Path) -> dict:
    """``--cfg-options`` that point the toy configs at another folder."""
    loaders = [f'{split}_dataloader.dataset.data_root' for split in LOADERS]
    return {
        **dict.fromkeys(loaders, f'{root}/'),
        'val_evaluator.ann_file': f'{root}/coco/test.json',
        'test_evaluator.ann_file': f'{root}/coco/test.json',
    }


@lru_cache
def load_tool(script: str) -> ModuleType:
    """A script of the repository as a module: its ``main`` runs in this process."""
    spec = spec_from_file_location(f'tool_{Path(script).stem}', REPO / script)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_tool(
    script: str | Path,
    *args: object,
    programs: Path = PROGRAMS,
    env: dict | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess:
    """Run a script of the repository as a user would, by Python in ``programs``."""
    done = subprocess.run(
        [str(programs / 'python'), str(REPO / script), *map(str, args)],
        cwd=REPO,
        env=tool_env(**(env or {})),
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f'{script} failed:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}'
        )
    return done


def tool_env(**extra: str) -> dict[str, str]:
    """Environment in which subprocesses find this checkout and the test helpers."""
    path = os.pathsep.join([str(REPO), str(HELPERS), os.environ.get('PYTHONPATH', '')])
    return {**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', **extra}
