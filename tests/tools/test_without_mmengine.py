"""Tools in an environment without OpenMMLab say what to install.

Slow: an interpreter of its own, which imports torch.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO, tool_env

TOOLS = sorted((REPO / 'tools').rglob('*.py'))
# Only what these do at their start counts; in one process, because torch loads slowly.
TRY_ALL = """
import importlib.machinery, importlib.metadata, json, runpy, sys

ABSENT = ('mmengine', 'mmcv', 'mmdet', 'mmpretrain')
found = importlib.machinery.PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name in ABSENT else found(name, path, target)

def version(name):
    raise importlib.metadata.PackageNotFoundError(name)

importlib.machinery.PathFinder.find_spec = find_spec
importlib.metadata.version = version
said = {}
for path in sys.argv[1:]:
    sys.argv = [path, '--help']
    try:
        runpy.run_path(path, run_name='__main__')
    except SystemExit as end:
        said[path] = f'exit {end.code}'
    except BaseException as error:
        said[path] = f'{type(error).__name__}: {error}'
print(json.dumps(said))
"""


@pytest.fixture(scope='module')
def said() -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, '-c', TRY_ALL, *map(str, TOOLS)],
        env=tool_env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_exception_what_to_install(said: dict[str, str]) -> None:
    """Those that do without it show their help as ever."""
    sentence = 'ImportError: mmdefect needs mmengine, mmcv and mmdet, and no OpenMMLab'
    others = {
        Path(path).stem: text
        for path, text in said.items()
        if not text.startswith(sentence)
    }
    assert set(others.values()) <= {'exit 0'}
    assert not others.keys() & {'train', 'test', 'prune', 'print_config', 'get_flops'}
    assert len(said) == len(TOOLS)
    asked = next(text for text in said.values() if text.startswith(sentence))
    assert 'run `pip install onedl-mmengine onedl-mmcv' in asked
