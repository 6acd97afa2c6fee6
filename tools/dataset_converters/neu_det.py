"""Convert NEU-DET (Pascal VOC XML) to COCO JSON and verify it.

Reads ``ROOT/IMAGES/*.jpg`` and ``ROOT/ANNOTATIONS/*.xml``; writes
``ROOT/coco/train.json`` and ``test.json``. Exits with 1 when something does not match.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.image_options import add_exif_option
from mmdefect.converters.neu_det import convert_neu_det, read_split_list
from mmdefect.converters.output import finish, in_one_sentence
from mmdefect.datasets.boxes.classes import NEU_DET_CLASSES
from mmdefect.streams.protocol import parse_protocol


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', type=Path, help='e.g. data/NEU-DET')
    parser.add_argument('--out', type=Path, help='default: ROOT/coco')
    parser.add_argument('--train-list', type=Path, help='image names, one a line')
    parser.add_argument('--test-list', type=Path, help='image names, one a line')
    parser.add_argument('--test-ratio', type=float, default=0.2)
    parser.add_argument('--seed', type=int, default=0, help='of a computed split')
    parser.add_argument(
        '--expect', choices=['real'], help='compare the totals with the published set'
    )
    parser.add_argument(
        '--protocol', help='print the co-occurrence of its steps, e.g. 3+3'
    )
    add_exif_option(parser)
    args = parser.parse_args(argv)
    if (args.train_list is None) != (args.test_list is None):
        parser.error('--train-list and --test-list go together')
    return args


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    lists = None
    if args.train_list is not None:
        lists = (read_split_list(args.train_list), read_split_list(args.test_list))
    steps = args.protocol and parse_protocol(args.protocol, NEU_DET_CLASSES)
    converted = convert_neu_det(
        args.root,
        lists=lists,
        test_ratio=args.test_ratio,
        seed=args.seed,
        expect_real=args.expect == 'real',
        exif=args.exif,
    )
    return finish(converted, args.out or args.root / 'coco', steps=steps or None)


if __name__ == '__main__':
    raise SystemExit(main())
