"""Draw toy datasets, on disk exactly like the real ones.

NEU-DET, DeepPCB, products as MVTec-AD, VisA, castings with their split file, and
cracks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mmdefect.converters.casting import THRESHOLD, make_split, scan_casting, study
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
    root, seed, number = args.root, args.seed, 6 * args.per_class
    cracks = f'--out {root / "crack_patches"} --target-ids 1'
    # Folder, what draws it, what it is, and what comes next.
    drawn = {
        'neu-det': (
            'NEU-DET',
            partial(make_toy_neu_det, per_class=args.per_class, size=args.size),
            f'{number} images',
            'neu_det.py {} --protocol 3+3',
        ),
        'deeppcb': (
            'DeepPCB', make_toy_deeppcb, 'toy boards', 'deeppcb.py {} --protocol 3+3'
        ),
        'products': ('products', make_toy_products, 'toy products', 'mvtec_ad.py {}'),
        'visa': ('VisA', make_toy_visa, 'a toy VisA', 'visa.py {}'),
        'cracks': (
            'cracks', make_toy_cracks, 'toy cracks', f'crack_patches.py {{}} {cracks}'
        ),
    }  # fmt: skip
    for name, (folder, draw, what, following) in drawn.items():
        if name in args.dataset:
            path = draw(root / folder, seed=seed)
            command = f'tools/dataset_converters/{following.format(path)}'
            print(f'{path}: {what}; next: python {command}')
    if 'casting' in args.dataset:
        draw_castings(root / 'casting', seed=seed)
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
