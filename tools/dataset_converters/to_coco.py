"""Convert annotated boxes of LabelMe, YOLO, CVAT, Label Studio or Pascal VOC to COCO.

    python tools/dataset_converters/to_coco.py FOLDER --out FOLDER/coco

finds out which tool wrote the files, checks them and the images, splits by image and
writes ``train.json`` and ``val.json``. Copies of one photograph that are not the same
file are not kept together: split those by hand, into folders ``train`` and ``val``,
which are taken as they are. Exits with 1, writing nothing, when something does not
match.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.image_options import add_exif_option
from mmdefect.converters.import_options import add_import_options
from mmdefect.converters.importing import SUBSETS, convert, import_boxes
from mmdefect.converters.output import finish, in_one_sentence, splits_in


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='folder of annotations, or one file')
    parser.add_argument('--out', type=Path, required=True, help='folder to write to')
    parser.add_argument(
        '--overwrite', action='store_true', help='remove the splits that are in --out'
    )
    add_import_options(parser)
    parser.add_argument('--seed', type=int, default=0, help='of the split')
    parser.add_argument(
        '--full', action='store_true', help='decode every image, not only its header'
    )
    add_exif_option(parser)
    return parser.parse_args(argv)


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    old = splits_in(args.out, SUBSETS, overwrite=args.overwrite)
    imported = import_boxes(
        args.source,
        images=args.images,
        kind=args.format,
        classes=args.classes,
        take_unlabelled=args.take_unlabelled,
        written=args.out,
        exif=args.exif,
        full=args.full,
    )
    converted = convert(imported, val_share=args.val_share, seed=args.seed)
    status = finish(converted, args.out, replaced=old)
    if status == 0:
        print(f'file names are relative to {imported.root}')
    return status


if __name__ == '__main__':
    raise SystemExit(main())
