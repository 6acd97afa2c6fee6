"""Make index masks (PNGs that hold class ids) of annotations.

    python tools/dataset_converters/index_masks.py labelme FOLDER --out OUT
    python tools/dataset_converters/index_masks.py coco FILE.json --out OUT
    python tools/dataset_converters/index_masks.py png FOLDER --out OUT \
        --values crack=255 pore=128

Writes ``OUT/masks/<name of the image>.png`` and ``OUT/classes.json``. ``--images``
compares them with the images. Exits with 1, writing nothing, when something does not
match.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.image_options import add_exif_option
from mmdefect.converters.index_masks import from_coco, from_labelme, from_png
from mmdefect.converters.mask_output import Masks, compare_with_images, write_masks
from mmdefect.converters.output import in_one_sentence
from mmdefect.utils.files import refuse_full


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('format', choices=['labelme', 'coco', 'png'])
    parser.add_argument('source', type=Path, help='folder, or the JSON file of COCO')
    parser.add_argument('--out', type=Path, required=True, help='new or empty folder')
    parser.add_argument('--images', type=Path, help='folder of images to compare with')
    parser.add_argument(
        '--classes', nargs='+', help='labelme, coco: in the order of their ids'
    )
    parser.add_argument('--line-width', type=int, help='labelme: of lines, in pixels')
    parser.add_argument(
        '--values', nargs='+', help='png: NAME=255 or NAME=#ff0000, in order of the ids'
    )
    add_exif_option(parser)
    args = parser.parse_args(argv)
    if args.exif and not args.images:
        parser.error('--exif needs --images')
    for name, formats in (
        ('classes', ('labelme', 'coco')),
        ('line_width', ('labelme',)),
        ('values', ('png',)),
    ):
        if getattr(args, name) is not None and args.format not in formats:
            option = name.replace('_', '-')
            parser.error(f'--{option} goes with {" and ".join(formats)} only')
    if args.line_width is not None and args.line_width < 1:
        parser.error('--line-width is at least 1 pixel')
    if args.values and not all('=' in pair for pair in args.values):
        parser.error('--values are NAME=VALUE')
    return args


def convert(args: argparse.Namespace) -> Masks:
    """Draw the masks."""
    if args.format == 'labelme':
        return from_labelme(
            args.source, classes=args.classes, line_width=args.line_width
        )
    if args.format == 'coco':
        return from_coco(args.source, classes=args.classes)
    pairs = [tuple(pair.rsplit('=', 1)) for pair in args.values or ()]
    if len(dict(pairs)) < len(pairs):
        raise ValueError('--values names a class twice: expected each once; remove one')
    return from_png(args.source, values=dict(pairs) or None)


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    refuse_full(args.out)
    masks = convert(args)
    if args.images:
        compare_with_images(masks, args.images, exif=args.exif)
    print(masks)
    if masks.errors:
        print('Nothing written: see the errors above.')
        return 1
    write_masks(masks, args.out)
    print(f'wrote {args.out}: {len(masks.files)} masks')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
