"""Check any COCO instances file and rewrite it with the class order wanted.

Boxes are reported, never changed: the file stays comparable with its source. Ids become
whole numbers, annotations are numbered from 1, iscrowd is 0 or 1, a missing area is
that of the box, backslashes in file names become slashes. Exits with 1 when an entry
cannot be used, or image files are missing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.datasets.class_split import class_names
from mmdefect.datasets.coco_file import read_coco
from mmdefect.datasets.converters.coco_checks import check_coco, reorder_classes
from mmdefect.datasets.converters.output import finish
from mmdefect.streams.protocol import parse_protocol


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='any COCO instances JSON')
    parser.add_argument('target', type=Path, help='JSON to write')
    parser.add_argument(
        '--classes', nargs='+', help='all classes in the order wanted; default: as is'
    )
    parser.add_argument('--image-root', type=Path, help='check that image files exist')
    parser.add_argument(
        '--renumber',
        action='store_true',
        help='no longer needed: annotations always get ids from 1',
    )
    parser.add_argument(
        '--protocol', help='print the co-occurrence of its steps, e.g. 40+40'
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        coco = read_coco(args.source)
        report = check_coco(coco, title=str(args.source), root=args.image_root)
        if not report.errors:
            coco = reorder_classes(coco, args.classes or class_names(coco))
        steps = args.protocol and parse_protocol(args.protocol, class_names(coco))
        converted = {args.target.stem: (coco, report)}
        return finish(converted, args.target.parent, steps=steps or None)
    except (FileNotFoundError, ValueError) as error:
        print(f'ERROR: {error}')
        return 1


if __name__ == '__main__':
    raise SystemExit(main())
