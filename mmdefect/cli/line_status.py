"""``mmdefect line status``: how a line is, in words or JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

HELP = """Say how a line is: versions, exams, decisions, queue, verdicts, and drift.

Drift: the measures of each day are held against the reference of the version (see
`mmdefect line reference`). One that left its band is named with the first day on which
it did; a day with too few images is undecided. The bands stand in line.json."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument(
        '--days', type=int, default=7, metavar='N', help='decisions of so many days (7)'
    )
    parser.add_argument('--json', action='store_true', help='print JSON, with all days')
    parser.add_argument(
        '--check',
        action='store_true',
        help='end with 1 if one is out of its band',
    )


def run(args: argparse.Namespace) -> int:
    """Find out, and say it."""
    from mmdefect.line.folder import Line
    from mmdefect.line.status import status
    from mmdefect.line.telling import told
    from mmdefect.utils.checks import check_number

    check_number('--days', args.days, 1, whole=True)
    line = Line(args.line)
    found = status(line)
    if args.json:
        print(json.dumps(found.to_dict()))
    else:
        print('\n'.join(told(found, line.settings.drift, days=args.days)))
    return int(args.check and bool(found.out))
