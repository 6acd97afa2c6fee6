"""``mmdefect line init``: make a line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from mmdefect.line.settings import KeepImages, LineSettings, OnFullDisk

HELP = """Make a line: a folder for versions, exams, decisions and what becomes of them.

What is chosen here stands in line.json and can be changed there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    usual = LineSettings()
    parser.add_argument('line', metavar='LINE', type=Path, help='new or empty folder')
    parser.add_argument(
        '--keep-images',
        choices=get_args(KeepImages),
        default=usual.keep_images,
        help='which pictures are kept beside their decisions (alarms)',
    )
    parser.add_argument(
        '--keep-gb',
        type=float,
        default=usual.keep_gb,
        metavar='N',
        help='of --keep-images newest: how many gigabytes (5)',
    )
    parser.add_argument(
        '--on-full-disk',
        choices=get_args(OnFullDisk),
        default=usual.on_full_disk,
        help='a decision that cannot be written down is refused, or served with a note '
        'that says so (refuse)',
    )


def run(args: argparse.Namespace) -> int:
    """Make it."""
    from mmdefect.line.folder import Line

    settings = LineSettings(
        keep_images=args.keep_images,
        keep_gb=args.keep_gb,
        on_full_disk=args.on_full_disk,
    )
    line = Line.create(args.line, settings=settings)
    print(
        f'{line.folder} is a line; next: mmdefect line add-exam {args.line} NAME ..., '
        f'mmdefect line promote {args.line} PACKAGE'
    )
    return 0
