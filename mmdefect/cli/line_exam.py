"""``mmdefect line add-exam``: a frozen test set that every version has to pass."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdefect.line.gate import LOSE, RISE, Limits

HELP = f"""Copy labelled images into a line, as an exam that every package has to pass.

Boxes: --annotations FILE (COCO), with --folder where its file names start. Maps:
--folder with products as MVTec-AD has them, of which test is taken. Labels: --folder
with a folder of images a class. All is hashed: a file that changes stops the line.

A limit is a share. By default a class may lose {LOSE} of its recall, one instance in
{1 / LOSE:.0f}, and false alarms may rise by {RISE}. Of boxes a false alarm is an image
with a box above its threshold that matches no annotation of its own kind: annotate
every kind, those that no version finds yet, too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument('name', metavar='NAME', help='of the exam')
    parser.add_argument(
        '--annotations', type=Path, metavar='FILE', help='COCO file of boxes'
    )
    parser.add_argument('--folder', type=Path, metavar='DIR', help='of the images')
    parser.add_argument(
        '--note', default='', metavar='TEXT', help='what it is for, who answers for it'
    )
    parser.add_argument(
        '--lose',
        type=float,
        default=LOSE,
        metavar='SHARE',
        help=f'of its recall that a class may lose ({LOSE})',
    )
    parser.add_argument(
        '--false-alarms',
        type=float,
        metavar='SHARE',
        help=f'that a product may reach (what the version in use has, and {RISE})',
    )
    parser.add_argument(
        '--least', type=float, metavar='SHARE', help='recall of a class at least'
    )
    parser.add_argument(
        '--retire',
        action='store_true',
        help='take the exam out of use instead; needs --why',
    )
    parser.add_argument('--why', metavar='TEXT', help='of --retire: the reason')
    parser.add_argument('--by', metavar='NAME', help='who adds it; the log keeps it')


def run(args: argparse.Namespace) -> int:
    """Add it, or retire it."""
    from mmdefect.line.exams import add_exam, retire_exam
    from mmdefect.line.folder import Line
    from mmdefect.utils.checks import amount

    line = Line(args.line)
    if args.retire:
        retire_exam(line, args.name, why=args.why)
        print(f'{args.name} is retired')
        return 0
    if args.why is not None:
        raise ValueError(f'--why {args.why}: expected --retire as well; or use --note')
    limits = Limits(lose=args.lose, false_alarms=args.false_alarms, least=args.least)
    exam = add_exam(
        line,
        args.name,
        annotations=args.annotations,
        folder=args.folder,
        note=args.note,
        limits=limits,
        by=args.by,
    )
    number = sum(len(image.truths) for image in exam.images)
    nouns = {
        'boxes': ('annotated box', 'annotated boxes'),
        'maps': ('defective image',),
        'labels': ('label',),
    }
    print(
        f'{exam.name}: {amount(len(exam.images), "image")}, '
        f'{amount(number, *nouns[exam.task])}, frozen in {exam.folder}'
    )
    return 0
