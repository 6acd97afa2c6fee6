"""``mmdefect init``: from a folder of one's own images to a config that trains.

Nothing but options is imported before the command runs.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mmdefect.converters.import_options import add_import_options

if TYPE_CHECKING:
    from mmdefect.cli.init_plan import Plan

TASKS = {
    'boxes': 'where defects are, and of which kind: annotated boxes or outlines',
    'maps': 'what looks unusual: good images only, in MVTec-AD folders or loose',
    'labels': 'whether a part is defective: a folder a class',
}
"""Task -> what data it takes."""
HELP = (
    'Look at a folder of images, convert what needs converting into <out>_data, write '
    'a short config that trains on them, and say what was found and what comes next.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    tasks = '; '.join(f'{name}: {what}' for name, what in TASKS.items())
    parser.add_argument('task', choices=list(TASKS), help=tasks)
    parser.add_argument('data', type=Path, help='folder of images and annotations')
    parser.add_argument(
        '--out', type=Path, default=Path('my_line.py'), help='config to write'
    )
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace the config and its lists',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the split into training and validation'
    )
    boxes = parser.add_argument_group('boxes')
    add_import_options(boxes)
    boxes.add_argument(
        '--exif',
        choices=('stored', 'turned'),
        help='which pixels of images with an EXIF orientation are annotated',
    )
    others = parser.add_argument_group('maps and labels')
    others.add_argument(
        '--good', metavar='FOLDER', help='name of the folder that holds good parts'
    )
    others.add_argument(
        '--after',
        type=Path,
        metavar='DIR',
        help='of maps: work dir of a model that learns the new products, too',
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; the exit status is 0, or 1 after errors that are printed.

    Args:
        args: As :func:`add_arguments` describes them.

    Raises:
        OSError: If files are not there, or cannot be written.
        ValueError: If the data cannot be used.
    """
    from mmdefect.cli.init_plan import check_target

    sources = [args.data, args.images] if args.images else [args.data]
    check_target(args.out, *sources, force=args.force)
    plan: Plan = import_module(f'mmdefect.cli.init_{args.task}').plan(args)
    print('\n'.join(plan.said()))
    if plan.errors:
        print('Nothing written: see the errors above.')
        return 1
    print('\n'.join(plan.write()))
    return 0
