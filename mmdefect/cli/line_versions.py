"""``mmdefect line versions``: what was promoted, when, and which is in use."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmdefect.line.versions import Version

HELP = """List the versions of a line; * is the one in use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(args: argparse.Namespace) -> int:
    """Print a line a version, the oldest first."""
    from mmdefect.line.folder import Line
    from mmdefect.line.versions import read_versions

    line = Line(args.line)
    current, found = line.current(), read_versions(line)
    if args.json:
        rows = [{**asdict(one), 'folder': str(one.folder)} for one in found]
        print(json.dumps({'current': current, 'versions': rows}, indent=2))
        return 0
    for one in found:
        print(f'{"*" if one.name == current else " "} {_told(one)}')
    if not found:
        print('no version yet; next: mmdefect line promote LINE PACKAGE')
    return 0


def _told(version: Version) -> str:
    """A version in one line."""
    from mmdefect.line.gate_page import counted

    how = 'forced' if version.forced else f'passed {counted(version.exams)}'
    why = f', why: {version.why}' if version.why else ''
    return f'{version.name}  {version.time[:19]}Z  {how}{why}  from {version.source}'
