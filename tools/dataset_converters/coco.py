"""Check any COCO instances file and rewrite it with the class order wanted.

Boxes are reported, never changed: the file stays comparable with its source. Ids become
whole numbers, annotations are numbered from 1, iscrowd is 0 or 1, a missing area is
that of the box, backslashes in file names become slashes. Exits with 1 when an entry
cannot be used, or image files are missing, broken or of another size than annotated.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.coco import Report, check_coco, reorder_classes
from mmdefect.converters.image_options import add_exif_option, image_errors
from mmdefect.converters.output import finish, in_one_sentence
from mmdefect.datasets.boxes.class_split import class_names
from mmdefect.datasets.boxes.coco_file import read_coco
from mmdefect.datasets.images import detect_bits
from mmdefect.datasets.same_images import same_images
from mmdefect.streams.protocol import parse_protocol


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, help='any COCO instances JSON')
    parser.add_argument('target', type=Path, help='JSON to write')
    parser.add_argument(
        '--classes', nargs='+', help='all classes in the order wanted; default: as is'
    )
    parser.add_argument(
        '--image-root', type=Path, help='look at the image files below this folder'
    )
    parser.add_argument(
        '--full', action='store_true', help='decode every image, not only its header'
    )
    parser.add_argument(
        '--train', type=Path, help='COCO JSON of training: name its images among these'
    )
    add_exif_option(parser)
    parser.add_argument(
        '--renumber',
        action='store_true',
        help='no longer needed: annotations always get ids from 1',
    )
    parser.add_argument(
        '--protocol', help='print the co-occurrence of its steps, e.g. 40+40'
    )
    args = parser.parse_args(argv)
    if args.image_root is None and (args.full or args.train or args.exif):
        parser.error('--full, --train and --exif need --image-root')
    return args


def look_at_images(args: argparse.Namespace, coco: dict, report: Report) -> None:
    """Add to a report what is found of the image files."""
    report.errors += image_errors(
        coco['images'], args.image_root, exif=args.exif, full=args.full
    )
    paths = [args.image_root / image['file_name'] for image in coco['images']]
    if bits := detect_bits(paths, name=str(args.source)):
        report.notes.append(f'images of 16 bits are read as {bits} bits')
    if args.train:
        train = read_coco(args.train)['images']
        report.notes += same_images(
            [args.image_root / image['file_name'] for image in train], paths
        )


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    coco = read_coco(args.source)
    report = check_coco(coco, title=str(args.source), root=args.image_root)
    if args.image_root:
        look_at_images(args, coco, report)
    if not report.errors:
        coco = reorder_classes(coco, args.classes or class_names(coco))
    steps = args.protocol and parse_protocol(args.protocol, class_names(coco))
    converted = {args.target.stem: (coco, report)}
    return finish(converted, args.target.parent, steps=steps or None)


if __name__ == '__main__':
    raise SystemExit(main())
