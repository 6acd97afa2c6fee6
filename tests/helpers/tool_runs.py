"""Tools of the repository, run in this process: torch and mmdet are imported once."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path

import pytest
from mmengine.visualization import Visualizer

from tests.conftest import REPO


def run_here(script: str, *args: object) -> str:
    """Run a tool; return what it prints.

    Raises:
        SystemExit: It ended early; an exit status of 0 is none.
    """
    printed = io.StringIO()
    # One of an earlier run would write to the files of that run.
    for kind in (Visualizer, *Visualizer.__subclasses__()):
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


def flags(options: dict) -> list[str]:
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def scores_in(work_dir: Path) -> dict[str, float]:
    (path,) = work_dir.glob('2*/2*.json')
    return json.loads(path.read_text(encoding='utf-8'))
