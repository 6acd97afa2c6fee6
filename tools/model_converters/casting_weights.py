"""Rename weights of torchvision, timm, DINO(v2) or LUNA for classifiers and encoders.

The written file holds ``backbone.*`` and, if the source tells two classes apart, a
whole ``head.*``, not calibrated: an ``init_cfg`` reads the first with
``prefix='backbone'``, ``load_from`` and tools/test.py read all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmdefect.converters.weights import ARCHS, convert
from mmdefect.utils.checkpoint import load_weights, state_dict_of


def read(path: Path) -> dict[str, Tensor]:
    """Read a state dict.

    Raises:
        ValueError: The file is a pickled model, or holds anything else but weights.
    """
    try:
        return state_dict_of(load_weights(path), path)
    except ValueError as error:
        if 'more than weights' not in str(error):
            raise
        raise ValueError(
            f'{error}; a model pickled as a whole is a program that runs when it is '
            'read: open it where it was made and save model.state_dict()'
        ) from None


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, metavar='SRC', help='weights to rename')
    parser.add_argument('target', type=Path, metavar='DST', help='file to write')
    parser.add_argument('--arch', required=True, choices=ARCHS, help='whose they are')
    args = parser.parse_args(argv)
    try:
        converted = convert(read(args.source), args.arch)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    if converted.note:
        print(converted.note)
    args.target.parent.mkdir(parents=True, exist_ok=True)
    weights = converted.state_dict()
    torch.save({'meta': {'arch': args.arch}, 'state_dict': weights}, args.target)
    number = len(converted.backbone) + len(converted.head)
    print(f'{args.target}: {number} weights of {args.arch}')


if __name__ == '__main__':
    main()
