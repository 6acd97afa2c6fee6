"""Draw toy data sets: on disk exactly like NEU-DET, DeepPCB, MVTec-AD and VisA."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.testing import (
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
        choices=['neu-det', 'deeppcb', 'products', 'visa'],
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
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
