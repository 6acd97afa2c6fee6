"""``mmdefect export``: a folder that runs with ONNX Runtime or OpenVINO alone."""

from __future__ import annotations

import argparse
import shlex
from contextlib import AbstractContextManager
from pathlib import Path

from mmdefect.cli.arguments import add_model, add_threshold, threshold_of
from mmdefect.compat import check_torch
from mmdefect.utils.files import draft_folder

HELP = """Write a package: a graph, package.json and a model card.

MODEL is the work dir of a training, or a config with --weights; with --int8 or --layout
triton it may be a package, too. Model and package look at the same images; nothing is
written if they disagree."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_model(parser)
    parser.add_argument('out', type=Path, metavar='OUT', help='new or empty folder')
    parser.add_argument(
        '--format', choices=['onnx', 'openvino'], default='onnx', help='(onnx)'
    )
    parser.add_argument(
        '--images',
        metavar='DIR',
        help='compare on these; by default on images of the test set',
    )
    add_threshold(parser)
    parser.add_argument(
        '--layout',
        choices=['folder', 'triton'],
        default='folder',
        help='triton: OUT is a model repository of a Triton server (folder)',
    )
    _add_int8(parser)


def _add_int8(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--int8',
        action='store_true',
        help='whole numbers; refused where that is not faster or less accurate',
    )
    parser.add_argument(
        '--calibration', type=Path, metavar='DIR', help='of --int8: images to scale by'
    )
    parser.add_argument(
        '--labelled',
        type=Path,
        metavar='DATA',
        help='of --int8: what the accuracy is measured on: a COCO file, class folders, '
        'or products as MVTec-AD has them',
    )
    parser.add_argument(
        '--labelled-images',
        type=Path,
        metavar='DIR',
        help="of a COCO file: where its file names start; by default the file's folder",
    )


def run(args: argparse.Namespace) -> int:
    """Write the package; see :data:`HELP`."""
    from mmdefect.deploy.package import is_package

    package = is_package(args.model)
    _check(args, package=package)
    if package:
        written = _remade(Path(args.model), args)
    elif args.int8 or args.layout == 'triton':
        with _aside(args, 'export') as folder:
            # What comes next begins with a graph in ONNX.
            written = _remade(_export(args, folder, 'onnx'), args)
    else:
        written = _export(args, args.out, args.format)
    print(f'wrote {written}')
    _say_compared(written if args.layout == 'folder' else written / '1')
    if args.layout == 'folder':
        print(f'next: mmdefect predict {shlex.quote(str(written))} IMAGES')
    return 0


def _say_compared(folder: Path) -> None:
    from mmdefect.deploy.package import is_package, read_package
    from mmdefect.export.card import comparison

    if is_package(folder):
        print('\n'.join(comparison(read_package(folder).parity)))


def _check(args: argparse.Namespace, *, package: bool) -> None:
    for name in ('calibration', 'labelled', 'labelled_images'):
        value, flag = getattr(args, name), f'--{name.replace("_", "-")}'
        if args.int8 and value is None and name != 'labelled_images':
            raise ValueError(f'--int8: expected {flag} as well; give it')
        if not args.int8 and value is not None:
            raise ValueError(f'{flag} {value}: expected --int8 as well; add it')
    if args.layout == 'triton' and args.format != 'onnx':
        raise ValueError(
            f'--format {args.format}: expected onnx with --layout triton; leave it out'
        )
    if package:
        _check_package(args)


def _check_package(args: argparse.Namespace) -> None:
    """Refuse what only belongs to an export."""
    for name in ('weights', 'step', 'images', 'threshold'):
        if getattr(args, name) is not None:
            raise ValueError(
                f'--{name}: expected none with the package {args.model}; leave it out, '
                'or give the work dir that it was exported from'
            )
    if not args.int8 and args.layout == 'folder':
        raise ValueError(
            f'{args.model} is a package already: expected a work dir or a config; or '
            'add --int8 or --layout triton'
        )


def _export(args: argparse.Namespace, out: Path, form: str) -> Path:
    check_torch()
    from mmdefect.export.write import export

    return export(
        args.model,
        out,
        weights=args.weights,
        step=args.step,
        format=form,
        images=args.images,
        threshold=threshold_of(args),
    )


def _remade(package: Path, args: argparse.Namespace) -> Path:
    """Out of a package one of whole numbers, a Triton repository, or both."""
    if not args.int8:
        return _triton(package, args)
    if args.layout == 'folder':
        return _int8(package, args.out, args)
    with _aside(args, 'int8') as folder:
        return _triton(_int8(package, folder, args), args)


def _int8(package: Path, out: Path, args: argparse.Namespace) -> Path:
    from mmdefect.export.int8 import quantise

    return quantise(
        package,
        out,
        calibration=args.calibration,
        labelled=args.labelled,
        labelled_images=args.labelled_images,
        format=args.format,
    )


def _triton(package: Path, args: argparse.Namespace) -> Path:
    from mmdefect.export.triton import write_triton

    return write_triton(package, args.out, name=Path(args.model).name)


def _aside(args: argparse.Namespace, what: str) -> AbstractContextManager[Path]:
    """A folder for what is made on the way, on the disk of the result."""
    out, model = args.out.absolute(), Path(args.model).name
    return draft_folder(out.with_name(f'{out.name}.{model}.{what}'))
