"""``mmdefect line rollback``: the version before the current one is in use again."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = """Go back to the version that was in use before the current one was promoted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument('--to', metavar='V', help='another version, as v0001')
    parser.add_argument(
        '--force',
        action='store_true',
        help='go back though the log is not as it was written; needs --why',
    )
    parser.add_argument('--why', metavar='TEXT', help='the reason; the log keeps it')


def run(args: argparse.Namespace) -> int:
    """Go back, and say what is in use now."""
    from mmdefect.line.folder import Line
    from mmdefect.line.promote import rollback

    version = rollback(Line(args.line), args.to, force=args.force, why=args.why)
    print(f'{version} is in use again')
    return 0
