"""``mmdefect test``: what ``tools/test.py`` does, with all its arguments."""

from __future__ import annotations

import argparse

from mmdefect.cli.tool import run_tool

PASSES_ON = True


def run(args: argparse.Namespace) -> int:
    """Run the tool, which reads the arguments."""
    return run_tool('test.py', args.arguments)
