"""Cut the images of a COCO set into tiles, for small defects in large photographs.

    python tools/dataset_converters/tiles.py train.json --images DIR --out OUT \
        --size 800 --overlap 128 --val-share 0.2

Writes ``OUT/images/...png`` and ``OUT/train.json`` (``OUT/val.json``), in which all
tiles of an image stand together. Exits with 1, writing nothing, when something does not
match. Predict with the same tiles: ``mmdefect predict ... --tile 800,128``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmdefect.converters.image_options import add_exif_option
from mmdefect.converters.output import in_one_sentence
from mmdefect.converters.tile_rule import TileRule
from mmdefect.converters.tiles import cut_into_tiles
from mmdefect.datasets.boxes.coco_file import read_coco
from mmdefect.deploy.progress import Progress
from mmdefect.deploy.tiling import Tiling
from mmdefect.utils.files import refuse_full


def pixels_or_share(text: str) -> int | float:
    return int(text) if text.lstrip('-').isdigit() else float(text)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('annotations', type=Path, help='COCO file')
    parser.add_argument(
        '--images', type=Path, help="default: the file's folder, or the one above"
    )
    parser.add_argument('--out', type=Path, required=True, help='new or empty folder')
    parser.add_argument(
        '--size', type=int, nargs='+', required=True, help='of a tile: N, or W H'
    )
    parser.add_argument(
        '--overlap', type=pixels_or_share, default=0.2, help='128 (pixels) or 0.2'
    )
    parser.add_argument(
        '--min-visible',
        type=float,
        default=0.5,
        help='share of a box that a tile must show; boxes below are marked iscrowd',
    )
    parser.add_argument(
        '--drop', action='store_true', help='leave boxes below out instead'
    )
    parser.add_argument(
        '--keep-empty', type=float, default=0.1, help='share of tiles without a box'
    )
    parser.add_argument(
        '--val-share', type=float, default=0.0, help='share of images for val.json'
    )
    parser.add_argument('--seed', type=int, default=0, help='of what is drawn')
    parser.add_argument(
        '--bits', type=int, choices=range(8, 17), help='that 16-bit images use'
    )
    add_exif_option(parser)
    args = parser.parse_args(argv)
    if len(args.size) > 2:
        parser.error('--size is one number, or width and height')
    return args


def counted(images: Sequence[Any]) -> Iterator[Any]:
    with Progress(len(images)) as progress:
        for image in images:
            yield image
            progress.step()


def folder_of(args: argparse.Namespace, names: Sequence[str]) -> Path:
    """The folder that the file names are relative to."""
    if args.images is not None:
        return args.images
    places = [args.annotations.parent, args.annotations.parent.parent]
    return next((p for p in places if names and (p / names[0]).is_file()), places[0])


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    refuse_full(args.out)
    size = args.size[0] if len(args.size) == 1 else tuple(args.size)
    rule = TileRule(
        tiling=Tiling(size=size, overlap=args.overlap),
        min_visible=args.min_visible,
        drop=args.drop,
        keep_empty=args.keep_empty,
        val_share=args.val_share,
        seed=args.seed,
    )
    coco = read_coco(args.annotations)
    names = [image['file_name'] for image in coco['images']]
    reports = cut_into_tiles(
        coco,
        folder_of(args, names),
        args.out,
        rule=rule,
        name=args.annotations.stem,
        exif=args.exif,
        bits=args.bits,
        progress=counted,
    )
    for report in reports.values():
        print(report)
    for name in reports:
        print(f'wrote {args.out / name}.json')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
