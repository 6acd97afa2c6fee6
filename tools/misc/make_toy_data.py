"""Draw toy datasets, on disk exactly like the real ones.

NEU-DET, DeepPCB, products as MVTec-AD, VisA, castings with their split file, and
cracks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.casting import (
    THRESHOLD,
    make_split,
    scan_casting,
    study,
)
from mmdefect.datasets.casting.split import split_file_name, write_split
from mmdefect.testing import (
    make_toy_casting,
    make_toy_cracks,
    make_toy_deeppcb,
    make_toy_neu_det,
    make_toy_products,
    make_toy_visa,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', type=Path, help='folder to write to, e.g. data/toy')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--per-class', type=int, default=90, help='steel images of each defect kind'
    )
    parser.add_argument('--size', type=int, default=96, help='of steel images, pixels')
    parser.add_argument(
        '--dataset',
        nargs='+',
        choices=['neu-det', 'deeppcb', 'products', 'visa', 'casting', 'cracks'],
        default=['neu-det', 'deeppcb', 'products'],
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    if 'neu-det' in args.dataset:
        path = make_toy_neu_det(
            args.root / 'NEU-DET',
            seed=args.seed,
            per_class=args.per_class,
            size=args.size,
        )
        print(
            f'{path}: {6 * args.per_class} images; next: '
            f'python tools/dataset_converters/neu_det.py {path} --protocol 3+3'
        )
    if 'deeppcb' in args.dataset:
        path = make_toy_deeppcb(args.root / 'DeepPCB', seed=args.seed)
        print(
            f'{path}: toy boards; next: '
            f'python tools/dataset_converters/deeppcb.py {path} --protocol 3+3'
        )
    if 'products' in args.dataset:
        path = make_toy_products(args.root / 'products', seed=args.seed)
        print(
            f'{path}: toy products; next: '
            f'python tools/dataset_converters/mvtec_ad.py {path}'
        )
    if 'visa' in args.dataset:
        path = make_toy_visa(args.root / 'VisA', seed=args.seed)
        print(
            f'{path}: a toy VisA; next: python tools/dataset_converters/visa.py {path}'
        )
    if 'casting' in args.dataset:
        draw_castings(args.root / 'casting', seed=args.seed)
    if 'cracks' in args.dataset:
        path = make_toy_cracks(args.root / 'cracks', seed=args.seed)
        print(
            f'{path}: toy cracks; next: '
            f'python tools/dataset_converters/crack_patches.py {path} '
            f'--out {args.root / "crack_patches"} --target-ids 1'
        )
    return 0


def draw_castings(root: Path, *, seed: int) -> None:
    """Draw castings with outlined defects, and split them as the real ones are."""
    make_toy_casting(root, seed=seed, masks=True)
    protocol = 'cluster_level'
    what = study(scan_casting(root, protocol), floor=THRESHOLD)
    rows = make_split(what, THRESHOLD)
    write_split(root / split_file_name(protocol), rows)
    parts = len({row.cluster for row in rows})
    print(f'{root}: {len(rows)} toy castings of {parts} parts, already split')


if __name__ == '__main__':
    raise SystemExit(main())
