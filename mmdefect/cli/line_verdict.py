"""``mmdefect line verdict``: say what is right about a decision."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdefect.cli.arguments import IMAGE

if TYPE_CHECKING:
    from mmdefect.line.folder import Line

HELP = """Say what is right about the newest decision on an image.

  confirmed    what was decided is right: it is ok, or shows what was found
  false-alarm  it is good; of boxes, what was found of --kind or at --box is no defect
  missed       it shows a --kind that was not found, at --box if you say where
  wrong-kind   what was found is of --kind; at --box, if several kinds were found

A row of the log says so. The same said twice is one row, and the newest verdict of an
image counts in `mmdefect line export-feedback`, alone: what it replaces is said. The
image leaves the queue."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from mmdefect.line.decided import VERDICTS, spelled_out

    names = [spelled_out(one) for one in VERDICTS]
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument(
        'verdict',
        metavar='VERDICT',
        type=spelled_out,
        choices=names,
        help=', '.join(names),
    )
    parser.add_argument(
        'images', metavar='IMAGE', nargs='+', help=f'that it is about: {IMAGE}'
    )
    parser.add_argument(
        '--kind',
        action='append',
        metavar='NAME',
        help='of the defect; several where boxes are of several kinds',
    )
    parser.add_argument(
        '--box',
        action='append',
        nargs=4,
        type=float,
        metavar=('X1', 'Y1', 'X2', 'Y2'),
        help='where it is, in pixels of the image; may be given several times',
    )
    parser.add_argument(
        '--product', metavar='NAME', help='of maps: which the image shows'
    )
    parser.add_argument(
        '--new-kind',
        action='store_true',
        help='the kind (of maps: the product) is one that the model does not know: the '
        'next step begins a class of it',
    )
    parser.add_argument(
        '--alike',
        action='store_true',
        help='of --new-kind: it may be called almost as one that there is',
    )
    parser.add_argument('--by', metavar='NAME', help='who says so')


def run(args: argparse.Namespace) -> int:
    """Give the verdict on each image."""
    from mmdefect.line import queue
    from mmdefect.line.decided import replaced_by, words_of
    from mmdefect.line.folder import Line
    from mmdefect.line.verdicts import give
    from mmdefect.utils.checks import amount, visible

    if args.box and len(args.images) > 1:
        raise ValueError(
            f'--box with {len(args.images)} images: expected one image, in which the '
            'box is; give them one by one'
        )
    line = Line(args.line)
    _check_known(line, args.images)
    for image in args.images:
        newest = next(line.log.rows(newest=True, limit=1), None)
        row = give(
            line,
            image,
            args.verdict.replace('-', ' '),
            kind=args.kind,
            box=args.box,
            product=args.product,
            new_kind=args.new_kind,
            alike=args.alike,
            by=args.by,
        )
        said = f'row {row.id}'
        if newest is not None and row.id <= newest.id:
            said = f'said already, row {row.id}'
        elif (before := replaced_by(line.log, row)) is not None:
            said += f'; replaces {words_of(before)}, row {before.id}'
        print(f'{visible(str(row.source))}: {words_of(row)} ({said})')
    print(f'{amount(queue.count(line), "waits", "wait")} in the queue')
    return 0


def _check_known(line: Line, images: Sequence[str]) -> None:
    """Refuse one of several that was never decided on, before a verdict is written.

    Raises:
        ValueError: Naming it.
    """
    from mmdefect.line.decided import find_decision

    for image in images if len(images) > 1 else ():
        find_decision(line.log, image)
