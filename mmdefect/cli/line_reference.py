"""``mmdefect line reference``: what a line looks like when all is well."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = """Say what a line looks like when all is well: later days are held against it.

Give images straight from the line, some hundreds, with as many defects as are usual:
the version in use looks at them, and what it finds is kept in reference.json. Or name
days of the log that were good. Do it for each new version: its scores are others.
`mmdefect line status` then says what has left its band, and since when."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument(
        'images', metavar='IMAGES', nargs='*', help='files, folders or globs'
    )
    parser.add_argument(
        '--days', nargs=2, metavar=('FIRST', 'LAST'), help='as 2026-11-01 2026-11-07'
    )
    parser.add_argument('--version', metavar='V', help='by default the one in use')
    parser.add_argument(
        '--force',
        action='store_true',
        help='though it is too small, and takes the place of one that is not',
    )


def run(args: argparse.Namespace) -> int:
    """Look at the images or the days, and keep what was found."""
    from mmdefect.line import reference
    from mmdefect.line.folder import Line
    from mmdefect.utils.checks import amount, some_of

    if bool(args.images) == bool(args.days):
        raise ValueError(
            'IMAGES, --days: expected one of the two; give images of the line, or the '
            'first and last good day of its log'
        )
    line = Line(args.line)
    with line.lock('reference'):
        if args.days:
            found = reference.of_log(line, *args.days, version=args.version)
        else:
            origin = some_of(args.images)
            found = [
                reference.of_images(
                    line, args.images, version=args.version, origin=origin
                )
            ]
        reference.keep(line, found, force=args.force)
    least = line.settings.drift.least
    for one in found:
        print(f'{one.version}: {amount(one.images, "image")} ({one.origin})')
        for few in one.products:
            if few.images < least:
                print(
                    f'  {few.product or "these"}: {amount(few.images, "image")}, too '
                    f'few to decide by; give {least} or more'
                )
    return 0
