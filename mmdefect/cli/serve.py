"""``mmdefect serve``: packages that answer over HTTP."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmdefect.cli.arguments import (
    add_bits,
    add_device,
    add_line,
    add_port,
    add_tile,
    tile_of,
)
from mmdefect.utils.text_files import read_text_file

if TYPE_CHECKING:
    from mmdefect.line.folder import Line

HELP = """Answer over HTTP with one or more packages; see docs/guides/deploy.md.

Listens on this machine only. Elsewhere (--host) a token is needed: it is read from
--token-file or from the environment variable MMDEFECT_TOKEN, never from the command
line, which every user of the machine can read."""

_LIMITS: dict[str, tuple[type, str]] = {
    'max-bytes': (int, 'of the body of a request (20971520)'),
    'max-pixels': (int, 'of an image (50000000)'),
    'max-files': (int, 'of a request (32)'),
    'concurrency': (int, 'images at once (up to 4, by cores)'),
    'queue': (int, 'requests that may wait; beyond: 503 (32)'),
    'timeout': (float, 'seconds of a request; beyond: 504 (30)'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        'packages', metavar='PACKAGE', nargs='*', help='of `mmdefect export`'
    )
    add_line(parser, 'in place of PACKAGE')
    parser.add_argument('--host', default='127.0.0.1', help='address (127.0.0.1)')
    add_port(parser, 8000)
    parser.add_argument(
        '--token-file', type=Path, metavar='FILE', help='file that holds the token'
    )
    parser.add_argument(
        '--backend', default='auto', choices=['auto', 'onnxruntime', 'openvino']
    )
    add_device(parser)
    add_bits(parser)
    add_tile(parser)
    for name, (kind, text) in _LIMITS.items():
        parser.add_argument(f'--{name}', type=kind, metavar='N', help=text)


def run(args: argparse.Namespace) -> int:
    """Serve until it is told to stop."""
    from mmdefect.serving.server import run as serve

    names = [name.replace('-', '_') for name in _LIMITS]
    line = _line(args)
    return serve(
        args.packages,
        host=args.host,
        port=args.port,
        token=_token(args.token_file),
        bits=args.bits,
        backend=args.backend,
        device=args.device,
        tile=tile_of(args),
        line=line,
        # The defaults stand in ServerSettings.
        **{n: value for n in names if (value := getattr(args, n)) is not None},
    )


def _line(args: argparse.Namespace) -> Line | None:
    """The line whose version in use serves; None for packages."""
    if args.line is None:
        if not args.packages:
            raise ValueError(
                'PACKAGE: expected one package or more, or --line LINE; name its folder'
            )
        return None
    if args.packages:
        raise ValueError(
            f'--line {args.line}: expected no PACKAGE beside it, the version in use '
            'serves; leave one of them out'
        )
    from mmdefect.line.folder import Line
    from mmdefect.line.opening import refuse_other_looks

    refuse_other_looks(args.line, tile=args.tile, bits=args.bits)
    return Line(args.line)


def _token(file: Path | None) -> str | None:
    if file is None:
        return None
    token = read_text_file(file, 'token file', max_bytes=4096).strip()
    if not token:
        raise ValueError(f'--token-file {file}: expected a token, the file is empty')
    return token
