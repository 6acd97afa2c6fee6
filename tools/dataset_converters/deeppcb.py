"""Convert DeepPCB to COCO JSON by its official lists and verify it.

Reads ``ROOT/PCBData``; writes ``ROOT/coco/train.json`` and ``test.json``. Exits with 1
when something does not match.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.deeppcb import convert_deeppcb
from mmdefect.converters.image_options import add_exif_option
from mmdefect.converters.output import finish, in_one_sentence
from mmdefect.datasets.boxes.classes import DEEPPCB_CLASSES
from mmdefect.streams.protocol import parse_protocol


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', type=Path, help='e.g. data/DeepPCB')
    parser.add_argument('--out', type=Path, help='default: ROOT/coco')
    parser.add_argument(
        '--expect', choices=['real'], help='compare the totals with the published set'
    )
    parser.add_argument(
        '--protocol', help='print the co-occurrence of its steps, e.g. 3+3'
    )
    add_exif_option(parser)
    return parser.parse_args(argv)


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    steps = args.protocol and parse_protocol(args.protocol, DEEPPCB_CLASSES)
    converted = convert_deeppcb(
        args.root, expect_real=args.expect == 'real', exif=args.exif
    )
    return finish(converted, args.out or args.root / 'coco', steps=steps or None)


if __name__ == '__main__':
    raise SystemExit(main())
