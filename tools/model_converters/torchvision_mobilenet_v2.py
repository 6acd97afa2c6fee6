r"""Rename torchvision's MobileNetV2 weights to mmdet's and mmpretrain's names.

Example:
    torchvision_mobilenet_v2.py data/weights/mobilenet_v2-b0353104.pth

writes data/weights/mobilenet_v2-in1k-mmdet.pth, which the detectors' configs read, and
data/weights/mobilenet_v2-in1k-mmpretrain.pth, which all others read.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.normalisation import IMAGENET
from mmdefect.utils.weights import MOBILENET, PACKAGES


def backbone_class(package: str) -> type[nn.Module]:
    """Return the MobileNetV2 of ``mmdet`` or ``mmpretrain``."""
    # Not at the top, where sorted imports would put it before `mmdefect`, which lets
    # mmdet find an NMS when mmcv has none compiled.
    return import_module(f'{package}.models.backbones').MobileNetV2


def convert(state: Mapping[str, Tensor], package: str = 'mmdet') -> dict[str, Tensor]:
    """Rename all weights; the classifier, which a backbone does not have, is left out.

    Layers are numbered by torchvision and named by the others, in the same order.

    Raises:
        ValueError: If shapes are not exactly those of its MobileNetV2.
    """
    expected = backbone_class(package)().state_dict()
    given = {name: w for name, w in state.items() if not name.startswith('classifier.')}
    theirs = sorted({_layer(name) for name in given}, key=_in_order)
    ours = list(dict.fromkeys(map(_layer, expected)))
    names = dict(zip(theirs, ours, strict=False))
    renamed = {
        f'{names.get(_layer(name), _layer(name))}.{name.rpartition(".")[2]}': value
        for name, value in given.items()
    }
    wrong = [
        name
        for name in sorted({*renamed, *expected})
        if not (name in renamed and name in expected)
        or renamed[name].shape != expected[name].shape
    ]
    if wrong:
        raise ValueError(
            f'{len(wrong)} weights do not match {package} MobileNetV2 (width 1.0), '
            f'such as {", ".join(wrong[:3])}: give the state_dict of '
            'torchvision.models.mobilenet_v2'
        )
    return {name: renamed[name] for name in expected}


def _layer(name: str) -> str:
    return name.rpartition('.')[0]


def _in_order(layer: str) -> str:
    """Its name with numbers of equal length: 2 comes before 10."""
    return re.sub(r'\d+', lambda number: number[0].zfill(3), layer)


def targets(target: Path, package: str | None) -> dict[str, Path]:
    """Package -> file to write.

    Args:
        target: A folder, or a file of one package.
        package: ``mmdet``, ``mmpretrain`` or ``both``; by default both into a folder,
            and of a file the package that its name ends with, else mmdet.

    Raises:
        ValueError: Both were to go into one file.
    """
    if target.suffix != '.pth':
        chosen = PACKAGES if package in (None, 'both') else (str(package),)
        return {name: target / f'{MOBILENET}-{name}.pth' for name in chosen}
    if package == 'both':
        raise ValueError(
            f'--for both with the file {target}: expected a folder for the two files'
        )
    named = target.stem.rpartition('-')[2]
    return {package or (named if named in PACKAGES else PACKAGES[0]): target}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, metavar='IN', help='torchvision weights')
    parser.add_argument(
        'target',
        type=Path,
        metavar='OUT',
        nargs='?',
        default=Path('data/weights'),
        help='folder of the files, or one .pth file to write; %(default)s by default',
    )
    parser.add_argument(
        '--for',
        dest='package',
        choices=(*PACKAGES, 'both'),
        help='whose names: mmdet for detectors, mmpretrain for all else; both by '
        'default, of one file that in its name',
    )
    args = parser.parse_args(argv)
    try:
        files = targets(args.target, args.package)
        state = state_dict_of(load_weights(args.source), args.source)
    except (ValueError, FileNotFoundError) as error:
        parser.error(str(error))
    for name, path in files.items():
        try:
            converted = convert(state, name)
        except ModuleNotFoundError as error:
            if error.name != name or len(files) == 1:
                raise
            print(f'{path}: not written, {name} is not installed')
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = {'arch': 'mobilenet_v2', 'normalisation': IMAGENET._asdict()}
        torch.save({'meta': meta, 'state_dict': converted}, path)
        print(f'{path}: {len(converted)} weights')


if __name__ == '__main__':
    main()
