"""``mmdefect calibrate``: thresholds for given costs, out of validation images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmdefect.cli.arguments import (
    add_device,
    add_model,
    add_tile,
    model_settings,
    tile_of,
)

HELP = """Choose from which score on a defect is called one, and write calibrated.pth.

Boxes: validation images and their COCO file. Labels: a folder of class folders. Maps:
held-out good images, a folder a product."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_model(parser, what='work dir or config')
    add_device(parser)
    parser.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='validation images; by default those of the config, of boxes and labels',
    )
    parser.add_argument(
        '--annotations', type=Path, metavar='FILE', help='of boxes: their COCO file'
    )
    parser.add_argument(
        '--costs',
        type=float,
        nargs=2,
        default=(1.0, 1.0),
        metavar=('MISS', 'FALSE_ALARM'),
        help='of boxes and labels: what each mistake costs (1 1)',
    )
    parser.add_argument(
        '--false-alarm-rate',
        type=float,
        default=0.05,
        metavar='SHARE',
        help='of maps: share of good images that may raise an alarm (0.05)',
    )
    parser.add_argument(
        '--confidence',
        type=float,
        default=0.95,
        metavar='SHARE',
        help='of maps: how sure that shall be (0.95)',
    )
    parser.add_argument(
        '--out', type=Path, metavar='FILE', help='calibrated.pth beside the weights'
    )
    parser.add_argument(
        '--batch-size', type=int, default=1, metavar='N', help='images at once (1)'
    )
    add_tile(parser)


def run(args: argparse.Namespace) -> int:
    """Choose the thresholds, and say what they are."""
    from mmdefect.apis.calibrate import calibrate
    from mmdefect.deploy.package import FILE, is_package

    if is_package(args.model):
        raise ValueError(
            f'{args.model}: expected a work dir or a config, this is a package; '
            'calibrate what it was made of and export again, or write thresholds into '
            f'its {FILE}'
        )
    chosen = calibrate(
        **model_settings(args),
        images=args.images,
        annotations=args.annotations,
        costs=args.costs,
        false_alarm_rate=args.false_alarm_rate,
        confidence=args.confidence,
        out=args.out,
        batch_size=args.batch_size,
        tile=tile_of(args),
        show_progress=sys.stderr.isatty(),
    )
    print(chosen)
    return 0
