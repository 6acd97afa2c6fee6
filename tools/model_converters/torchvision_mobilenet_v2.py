"""Rename torchvision's MobileNetV2 weights to mmdet's or mmpretrain's names."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from mmdefect.utils.checkpoint import load_weights, state_dict_of

# Blocks of each of mmdet's seven layers; torchvision numbers them through.
BLOCKS = [
    f'layer{layer}.{block}'
    for layer, blocks in enumerate((1, 2, 3, 4, 3, 3, 1), start=1)
    for block in range(blocks)
]
CONV_BN = {'0': 'conv', '1': 'bn'}


def new_name(name: str) -> str | None:
    """Return mmdet's name of a torchvision weight, None when it has no counterpart."""
    match name.split('.'):
        case ['features', '0', part, leaf] if part in CONV_BN:
            return f'conv1.{CONV_BN[part]}.{leaf}'
        case ['features', '18', part, leaf] if part in CONV_BN:
            return f'conv2.{CONV_BN[part]}.{leaf}'
        case ['features', index, 'conv', *rest] if index.isdigit():
            if not 1 <= int(index) <= len(BLOCKS):
                return None
            inner = _name_in_block(rest, expands=index != '1')
            return inner and f'{BLOCKS[int(index) - 1]}.{inner}'
        case _:
            return None


def _name_in_block(rest: Sequence[str], *, expands: bool) -> str | None:
    """Name a weight of an inverted residual; only the first does not expand."""
    stages = (['expand_conv'] if expands else []) + ['depthwise_conv']
    match rest:
        case [stage, part, leaf] if stage.isdigit() and part in CONV_BN:
            if int(stage) < len(stages):
                return f'{stages[int(stage)]}.{CONV_BN[part]}.{leaf}'
        case [stage, leaf] if stage.isdigit():
            kind = {len(stages): 'conv', len(stages) + 1: 'bn'}.get(int(stage))
            return kind and f'linear_conv.{kind}.{leaf}'
    return None


def mmpretrain_name(name: str) -> str:
    """Return mmpretrain's name of a weight that mmdet names so.

    mmpretrain numbers the convolutions of a block instead of naming them.
    """
    match name.split('.'):
        case [layer, block, kind, *rest] if kind.endswith('_conv'):
            # Only the first block does not expand.
            first = layer == 'layer1'
            stages = [
                *([] if first else ['expand_conv']),
                'depthwise_conv',
                'linear_conv',
            ]
            return '.'.join([layer, block, 'conv', str(stages.index(kind)), *rest])
    return name


def backbone_class(package: str) -> type[nn.Module]:
    """Return the MobileNetV2 of ``mmdet`` or ``mmpretrain``."""
    # Not at the top, where sorted imports would put it before `mmdefect`, which lets
    # mmdet find an NMS when mmcv has none compiled.
    return import_module(f'{package}.models.backbones').MobileNetV2


def convert(state: Mapping[str, Tensor], package: str = 'mmdet') -> dict[str, Tensor]:
    """Rename all weights; the classifier, which a backbone has not, is left out.

    Raises:
        ValueError: If names or shapes are not exactly those of its MobileNetV2.
    """
    features = {
        name: value
        for name, value in state.items()
        if not name.startswith('classifier.')
    }
    renamed = {new_name(name) or name: value for name, value in features.items()}
    if package == 'mmpretrain':
        renamed = {mmpretrain_name(name): value for name, value in renamed.items()}
    model = backbone_class(package)()
    expected = {name: value.shape for name, value in model.state_dict().items()}
    wrong = [
        name
        for name in sorted({*renamed, *expected})
        if name not in renamed or renamed[name].shape != expected.get(name)
    ]
    if wrong:
        raise ValueError(
            f'{len(wrong)} weights do not match {package} MobileNetV2 (width 1.0), '
            f'such as {", ".join(wrong[:3])}: give the state_dict of '
            'torchvision.models.mobilenet_v2.'
        )
    return {name: renamed[name] for name in expected}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', type=Path, metavar='IN', help='torchvision weights')
    parser.add_argument('target', type=Path, metavar='OUT', help='file to write')
    parser.add_argument(
        '--for',
        dest='package',
        choices=('mmdet', 'mmpretrain'),
        default='mmdet',
        help='whose names: mmdet for detectors, mmpretrain for all else',
    )
    args = parser.parse_args(argv)
    converted = convert(
        state_dict_of(load_weights(args.source), args.source), args.package
    )
    args.target.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'meta': {}, 'state_dict': converted}, args.target)
    print(f'{args.target}: {len(converted)} weights')


if __name__ == '__main__':
    main()
