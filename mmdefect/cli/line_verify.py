"""``mmdefect line verify``: whether the log is as it was written."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

HELP = """Read every row of a line's log: none changed, missing, moved or added.

Ends with 1 and names the first that is wrong. Remembers the newest row in head.json:
keep a copy of that file elsewhere, and a log cut or written anew shows, too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument(
        '--rebuild',
        action='store_true',
        help='first derive the tables of days and defects from the rows anew',
    )
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(args: argparse.Namespace) -> int:
    """Verify, and say what was found."""
    from mmdefect.line.folder import Line

    line = Line(args.line)
    if args.rebuild:
        line.log.rebuild()
    found = line.verify()
    if args.json:
        print(json.dumps(asdict(found)))
    else:
        print('\n'.join([found.sentence, *found.notes]))
    return int(not found.ok)
