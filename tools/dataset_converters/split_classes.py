"""Cut a COCO training file into one file a step, with labels in global class order.

The streams of this package choose classes at load time and do not need these files;
they are for other code bases, and for looking at what a step sees.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.output import in_one_sentence
from mmdefect.datasets.boxes.class_split import (
    SPLIT_MODES,
    class_names,
    cooccurrence_table,
    split_coco,
)
from mmdefect.datasets.boxes.coco_file import read_coco, save_json
from mmdefect.streams.protocol import parse_protocol


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='e.g. data/NEU-DET/coco/train.json')
    parser.add_argument('--out', type=Path, help='default: the folder of the source')
    steps = parser.add_mutually_exclusive_group(required=True)
    steps.add_argument('--protocol', help='e.g. 3+3, 5+1, 2+2+2, 10-1x5')
    steps.add_argument(
        '--steps',
        nargs='+',
        metavar='A,B,C',
        help='classes of each step, separated by commas',
    )
    parser.add_argument('--mode', choices=SPLIT_MODES, default='overlap')
    return parser.parse_args(argv)


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    out = args.out or args.source.parent
    coco = read_coco(args.source)
    protocol = args.protocol or [step.split(',') for step in args.steps]
    steps = parse_protocol(protocol, class_names(coco))
    print(f'{cooccurrence_table(coco, steps)}\n')
    seen: list[str] = []
    parts = []
    for keep in steps:
        seen += keep
        parts.append(split_coco(coco, keep=keep, seen=seen, mode=args.mode))
    for k, (keep, part) in enumerate(zip(steps, parts, strict=True)):
        path = out / f'{args.source.stem}_step{k}.json'
        save_json(part, path)
        print(
            f'wrote {path}: {len(part["images"])} images, '
            f'{len(part["annotations"])} boxes ({args.mode}; {", ".join(keep)})'
        )
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
