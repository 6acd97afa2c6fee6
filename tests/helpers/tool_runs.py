"""Tools of the repository, run in this process, and its shell scripts."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer

from tests.conftest import PROGRAMS, REPO, tool_env


def run_here(script: str, *args: object) -> str:
    """Run a tool in this process, which has torch imported; return what it prints.

    Raises:
        SystemExit: It ended early; an exit status of 0 is none.
    """
    printed = io.StringIO()
    # One of an earlier run would write to the files and the console of that run: of
    # the same name, which two runs within a second have.
    for kind in (MMLogger, Visualizer, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv('LOCAL_RANK', '0')  # the tools set it for good
        patch.setattr(sys, 'argv', [script, *map(str, args)])
        try:
            runpy.run_path(str(REPO / script), run_name='__main__')
        except SystemExit as end:
            if end.code:
                raise
    return printed.getvalue()


def run_script(script: str, *args: object, programs: Path = PROGRAMS) -> str:
    """Run a shell script, which finds Python in ``programs``; return what it prints.

    Raises:
        AssertionError: It failed.
    """
    path = os.pathsep.join([str(programs), str(PROGRAMS), os.environ['PATH']])
    done = subprocess.run(
        [str(REPO / script), *map(str, args)],
        cwd=REPO,
        env=tool_env(PATH=path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=540,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f'{script} failed:\n{done.stdout[-5000:]}')
    return done.stdout


def flags(options: dict) -> list[str]:
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def scores_in(work_dir: Path) -> dict[str, float]:
    (path,) = work_dir.glob('2*/2*.json')
    return json.loads(path.read_text(encoding='utf-8'))
