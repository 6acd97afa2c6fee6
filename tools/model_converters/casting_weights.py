"""Rename weights of torchvision, timm, Keras, DINO(v2) or LUNA for our networks.

The written file holds ``backbone.*`` and, if the source tells two classes apart, a
whole ``head.*``, not calibrated: an ``init_cfg`` reads the first with
``prefix='backbone'``, ``load_from`` and tools/test.py read all. It says how images are
normalised for it, and a training that does otherwise is refused.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmdefect.converters.keras_resnet50 import read_keras_resnet50
from mmdefect.converters.weight_layouts import BACKBONES, normalisation_for
from mmdefect.converters.weights import ARCHS, convert, for_rgb
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.normalisation import CAFFE, IMAGENET


def read(path: Path) -> dict[str, Tensor]:
    """Read a state dict, or the folder of Keras' ResNet-50.

    Raises:
        ValueError: The file is a pickled model, or holds anything else but weights.
    """
    if path.is_dir():
        return read_keras_resnet50(path)
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
    parser.add_argument(
        '--rgb',
        action='store_true',
        help="of resnet50_caffe: for RGB images with ImageNet's mean and deviation, as "
        'the anomaly models and classifiers take them',
    )
    args = parser.parse_args(argv)
    normalisation = normalisation_for(args.arch)
    if args.rgb and normalisation is not CAFFE:
        parser.error(f'--rgb: expected --arch resnet50_caffe, not {args.arch}')
    try:
        converted = convert(read(args.source), args.arch)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    if converted.note:
        print(converted.note)
    if args.rgb:
        normalisation = IMAGENET
        converted.backbone.update(for_rgb(converted.backbone))
    meta = {'arch': args.arch, 'normalisation': normalisation._asdict()}
    if style := BACKBONES[args.arch].get('style'):
        meta['style'] = style
    args.target.parent.mkdir(parents=True, exist_ok=True)
    weights = converted.state_dict()
    torch.save({'meta': meta, 'state_dict': weights}, args.target)
    number = len(converted.backbone) + len(converted.head)
    print(f'{args.target}: {number} weights of {args.arch}, for {normalisation}')


if __name__ == '__main__':
    main()
