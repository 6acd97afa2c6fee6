"""Make index masks of images whose objects are darker or brighter than the rest.

    python tools/dataset_converters/mask_from_threshold.py IMAGES --out OUT \
        --classes crack pore dirt --pictures
    # edit OUT/components.json: give each component its class, or null to drop it
    python tools/dataset_converters/mask_from_threshold.py IMAGES --out FINAL \
        --review OUT/components.json

Writes ``OUT/masks/<name of the image>.png``, ``OUT/classes.json`` and
``OUT/components.json``; ``--pictures`` adds ``OUT/pictures``, where components are
numbered. Exits with 1, writing nothing, when something does not match.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.image_options import add_exif_option
from mmdefect.converters.mask_output import write_masks
from mmdefect.converters.output import in_one_sentence
from mmdefect.converters.threshold_masks import (
    METHODS,
    OBJECTS,
    Threshold,
    draw_review,
    first_pass,
    read_images,
    second_pass,
)
from mmdefect.utils.files import refuse_full
from mmdefect.utils.images import write_png

DEFAULTS = Threshold()


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', type=Path, help='folder of images, at any depth')
    parser.add_argument('--out', type=Path, required=True, help='new or empty folder')
    parser.add_argument('--pictures', action='store_true', help='draw the components')
    parser.add_argument('--review', type=Path, help='edited components.json')
    add_exif_option(parser)
    group = parser.add_argument_group('first pass', 'not with --review, which has them')
    group.add_argument('--classes', nargs='+', help='in the order of their ids')
    group.add_argument('--method', choices=METHODS)
    group.add_argument('--objects', choices=OBJECTS)
    group.add_argument('--level', type=int, help='of the global threshold')
    group.add_argument('--block', type=int, help='adaptive: side in pixels, odd')
    group.add_argument('--offset', type=float, help='adaptive: beyond the mean')
    group.add_argument('--closing', type=int, help='of gaps, side in pixels')
    group.add_argument('--min-area', type=int, help='of components, pixels')
    args = parser.parse_args(argv)
    if args.review and (chosen(args) or args.classes):
        parser.error('--review holds classes and thresholds: leave theirs out')
    return args


def chosen(args: argparse.Namespace) -> dict[str, int | float | str]:
    """The thresholds that were given."""
    return {
        k: v for k, v in vars(args).items() if k in vars(DEFAULTS) and v is not None
    }


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    refuse_full(args.out)
    if args.review:
        masks, review, counts = second_pass(args.images, args.review, exif=args.exif)
        print('components: ' + ', '.join(f'{k} {n}' for k, n in counts.items()))
    else:
        how = Threshold(**chosen(args))
        classes = args.classes or ['crack']
        masks, review = first_pass(args.images, how, classes, exif=args.exif)
        print(f'components: {sum(map(len, review["images"].values()))}')
    print(masks)
    write_masks(masks, args.out, components=review)
    if args.pictures:
        for name, image in read_images(args.images, exif=args.exif):
            drawn = draw_review(image, review['images'][name])
            write_png(args.out / 'pictures' / f'{name}.png', drawn)
    print(f'wrote {args.out}: {len(masks.files)} masks')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
