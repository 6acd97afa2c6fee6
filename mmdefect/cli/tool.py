"""``mmdefect train`` and ``test``: the scripts of ``tools/``, with all arguments."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mmdefect.cli.main import ToolError

PACKAGE = Path(__file__).resolve().parents[1]
PASSES_ON = True


def run(args: argparse.Namespace) -> int:
    """Run the script of the command, which reads the arguments."""
    return run_tool(f'{args.command}.py', args.arguments)


def find_tool(name: str, package: Path = PACKAGE) -> Path:
    """Path of ``tools/<name>``: of the checkout, or of the installed package.

    Raises:
        FileNotFoundError: It is in neither.
    """
    places = [package.parent / 'tools' / name, package / '.mim' / 'tools' / name]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f'tools/{name} is neither in {places[0].parent} nor in {places[1].parent}: '
        'expected one of them; install mmdefect again'
    )


def run_tool(name: str, arguments: Sequence[str]) -> int:
    """Run a script with arguments of its own, in this process.

    Returns:
        Its exit status; a sentence that it ends with is raised.

    Raises:
        ToolError: With the sentence.
    """
    tool = find_tool(name)
    before = sys.argv
    sys.argv = [str(tool), *arguments]
    try:
        runpy.run_path(str(tool), run_name='__main__')
    except SystemExit as end:
        if isinstance(end.code, str):
            raise ToolError(end.code.removeprefix('error: ')) from None
        return end.code or 0
    finally:
        sys.argv = before
    return 0
