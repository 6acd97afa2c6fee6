"""``mmdefect line export-feedback``: reviewed images as data of the next step."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = """Write the reviewed images as a data set that `mmdefect init` takes.

coco     boxes: feedback.json and images/; a new kind has its class at the end
mvtec    maps: PRODUCT/train/good of good images, PRODUCT/test/KIND of others
folders  labels: a folder a class

Of each image the newest verdict counts; what nobody has reviewed is not in it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument('out', metavar='OUT', type=Path, help='new or empty folder')
    parser.add_argument(
        '--form',
        choices=('coco', 'mvtec', 'folders'),
        help='by default that of what the models of the line do',
    )
    parser.add_argument(
        '--leave-out',
        action='store_true',
        help='go on without images that cannot be written, and name them',
    )


def run(args: argparse.Namespace) -> int:
    """Export, and say what is in it and what is not."""
    from mmdefect.line.feedback import export_feedback
    from mmdefect.line.folder import Line
    from mmdefect.utils.checks import amount

    done = export_feedback(
        Line(args.line), args.out, args.form, leave_out=args.leave_out
    )
    kinds = ', '.join(f'{name} {number}' for name, number in done.kinds.items())
    print(
        f'{done.folder}: {amount(done.images, "image")}, {done.good} of them good; '
        f'{kinds}'
    )
    for one in done.left_out:
        print(f'left out: {one}')
    for note in done.notes:
        print(f'note: {note.strip()}')
    print(f'next: {done.command}')
    return 0
