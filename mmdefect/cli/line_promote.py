"""``mmdefect line promote``: a package that becomes the version in use, or not."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

HELP = """Examine a package beside the version in use; use it if no exam loses too much.
If one does: the table, the page, and exit status 1.

Refused, too, is a package of another task or order of classes; new classes come behind
the old ones. Interrupted at any moment, the old or the new version is in use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument(
        'package', metavar='PACKAGE', type=Path, help='of `mmdefect export`'
    )
    parser.add_argument(
        '--force',
        action='store_true',
        help='promote it whatever the exams say; needs --why',
    )
    parser.add_argument('--why', metavar='TEXT', help='the reason; the log keeps it')
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(args: argparse.Namespace) -> int:
    """Promote it; see :data:`HELP`."""
    from mmdefect.line.folder import Line
    from mmdefect.line.gate_page import in_lines
    from mmdefect.line.promote import promote

    try:
        found = promote(
            Line(args.line),
            args.package,
            force=args.force,
            why=args.why,
            show_progress=sys.stderr.isatty(),
        )
    except KeyboardInterrupt:
        # Opening it finishes what was begun, or undoes it.
        used = Line(args.line).current() or 'no version'
        print(f'\nmmdefect: {used} is in use', file=sys.stderr)
        raise
    if args.json:
        print(json.dumps({**asdict(found), 'report': str(found.report)}, indent=2))
        return int(found.version is None)
    print('\n'.join(in_lines(found.verdicts, found.notes)))
    print(f'page: {found.report}')
    if found.version is None:
        stays = found.previous or 'no version'
        print(f'refused, {stays} stays: {"; ".join(found.reasons)}')
        return 1
    how = ', forced' if found.forced else ''
    before = f'in place of {found.previous}' if found.previous else 'the first version'
    print(f'{args.package} is {found.version}{how}, {before}')
    return 0
