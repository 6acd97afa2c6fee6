"""Check a folder in the layout of MVTec-AD; nothing is written.

Prints train and test images, defect kinds and masks of every product. Exits with 1 when
something does not match.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.image_options import add_exif_option
from mmdefect.converters.mvtec_ad import check_folder
from mmdefect.converters.output import in_one_sentence
from mmdefect.converters.product_checks import print_reports


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', type=Path, help='e.g. data/MVTec-AD')
    parser.add_argument('--products', nargs='+', help='default: every product there')
    parser.add_argument(
        '--full', action='store_true', help='decode every file, not only its header'
    )
    parser.add_argument(
        '--expect', choices=['real'], help='compare the totals with the published set'
    )
    add_exif_option(parser)
    return parser.parse_args(argv)


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    reports, errors = check_folder(
        args.root,
        args.products,
        full=args.full,
        expect_real=args.expect == 'real',
        exif=args.exif,
    )
    return 0 if print_reports(reports, errors) else 1


if __name__ == '__main__':
    raise SystemExit(main())
