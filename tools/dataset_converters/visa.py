"""Convert VisA to the layout of MVTec-AD by its 1cls split and verify it.

Reads ``ROOT/<product>/Data`` and ``ROOT/split_csv/1cls.csv``; writes ``ROOT/mvtec``.
Images are copied or linked as they are, masks become 0 and 255. Exits with 1, writing
nothing, when something does not match.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.image_options import add_exif_option
from mmdefect.converters.output import in_one_sentence
from mmdefect.converters.product_checks import print_reports
from mmdefect.converters.visa import plan_visa, write_plan


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', type=Path, help='e.g. data/VisA')
    parser.add_argument('--out', type=Path, help='default: ROOT/mvtec')
    parser.add_argument('--split-csv', type=Path, help='instead of the 1cls split')
    parser.add_argument(
        '--link', action='store_true', help='hard-link the images: no disk space'
    )
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
    out = args.out or args.root / 'mvtec'
    plan = plan_visa(
        args.root,
        split_csv=args.split_csv,
        full=args.full,
        expect_real=args.expect == 'real',
        exif=args.exif,
    )
    if not print_reports(plan.reports, plan.errors):
        print('Nothing written: see the errors above.')
        return 1
    write_plan(plan, out, link=args.link)
    print(f'wrote {out}: {len(plan.files)} images, {len(plan.masks)} masks')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
