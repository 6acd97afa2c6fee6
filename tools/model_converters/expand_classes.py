"""Give any mmdet GFL checkpoint a head for more classes, keeping what it knows.

Rows of the classification layer are copied by class name; new classes start from
mmdet's initialisation (scores of 0.01). Train from the result with `load_from`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from mmdefect.functional.class_rows import expand_by_class, with_fresh_classes
from mmdefect.utils.checkpoint import (
    checkpoint_classes,
    load_weights,
    state_dict_of,
    student_of,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, metavar='IN', help='GFL checkpoint')
    parser.add_argument('target', type=Path, metavar='OUT', help='file to write')
    parser.add_argument(
        '--classes', nargs='+', required=True, help='all classes, in label order'
    )
    parser.add_argument(
        '--old-classes',
        nargs='+',
        help='classes of IN in label order, when it does not name them itself',
    )
    parser.add_argument('--seed', type=int, default=0, help='of the new rows')
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    checkpoint = load_weights(args.source)
    old_classes = args.old_classes or checkpoint_classes(checkpoint, args.source)
    if old_classes is None:
        raise ValueError(
            f'{args.source} does not name its classes: give them, in label order, '
            'with --old-classes'
        )
    state = student_of(state_dict_of(checkpoint, args.source))
    fresh = with_fresh_classes(state, num_classes=len(args.classes), seed=args.seed)
    expanded, report = expand_by_class(
        state, fresh, old_classes=old_classes, new_classes=args.classes
    )
    args.target.parent.mkdir(parents=True, exist_ok=True)
    meta = {'dataset_meta': {'classes': tuple(args.classes)}}
    torch.save({'meta': meta, 'state_dict': expanded}, args.target)
    print(f'{args.target}: {report}')


if __name__ == '__main__':
    main()
