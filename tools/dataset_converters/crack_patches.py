"""Cut segmented images into patches with and without a crack.

    python tools/dataset_converters/crack_patches.py data/cracks/crack500 \
        --out data/crack_patches/crack500
    python tools/dataset_converters/crack_patches.py data/cracks/crackforest \
        --out data/crack_patches/crackforest --split test

Writes ``OUT/{train,val,test}/{background,crack}/*.png``, as many patches of each class,
the lists ``OUT/train.txt`` and so on that give classes their numbers (crack is 0), and
``OUT/patches.json``. Patches of one image stay in one subset: that of its folder, or a
drawn one. Exits with 1, writing nothing, when something does not match.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmdefect.converters.crack_patches import (
    SHARES,
    Subset,
    plan_patches,
    write_patches,
)
from mmdefect.converters.image_options import add_exif_option
from mmdefect.converters.output import in_one_sentence
from mmdefect.converters.patch_grid import Settings
from mmdefect.datasets.index_masks.dataset import resolve_ids
from mmdefect.utils.files import refuse_full


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='e.g. data/cracks/crack500')
    parser.add_argument('--out', type=Path, required=True, help='new or empty folder')
    parser.add_argument('--size', type=int, default=112, help='of patches, pixels')
    parser.add_argument('--stride', type=int, default=56, help='of the grid, pixels')
    parser.add_argument(
        '--min-share', type=float, default=0.01, help='of object pixels in a crack'
    )
    parser.add_argument(
        '--target-ids', type=int, nargs='+', help='mask ids of cracks; default: all > 0'
    )
    parser.add_argument(
        '--split',
        nargs='+',
        help='shares of train, val and test, or "test" for all to test, where the '
        f'folders say nothing; default: {" ".join(map(str, SHARES))}',
    )
    parser.add_argument('--seed', type=int, default=0, help='of subsets and choice')
    parser.add_argument(
        '--masks', action='store_true', help='write the masks to OUT/masks too'
    )
    add_exif_option(parser)
    return parser.parse_args(argv)


def shares_of(split: Sequence[str] | None) -> tuple[float, float, float] | None:
    """Read ``--split``."""
    if split is None:
        return None
    if list(split) == ['test']:
        return (0.0, 0.0, 1.0)
    try:
        train, val, test = (float(share) for share in split)
    except ValueError:
        raise ValueError(
            f'--split={" ".join(split)}: expected the word test, or three shares such '
            'as 0.6 0.2 0.2'
        ) from None
    return (train, val, test)


def print_plan(plan: Mapping[str, Subset]) -> None:
    """Print the verification summary."""
    for name, subset in plan.items():
        found = ', '.join(f'{key} {n}' for key, n in subset.found.items())
        chosen = ', '.join(f'{key} {len(own)}' for key, own in subset.chosen.items())
        print(f'{name}: {subset.images} images, on the grid {found}; written {chosen}')


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    settings = Settings(
        size=args.size,
        stride=args.stride,
        min_share=args.min_share,
        object_ids=resolve_ids(args.target_ids),
        shares=shares_of(args.split),
        seed=args.seed,
        masks=args.masks,
        exif=args.exif,
    )
    refuse_full(args.out)  # before a minute of work
    plan = plan_patches(args.root, settings)
    print_plan(plan)
    write_patches(plan, args.out, settings, root=str(args.root))
    number = sum(len(own) for s in plan.values() for own in s.chosen.values())
    print(f'wrote {args.out}: {number} patches')
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
