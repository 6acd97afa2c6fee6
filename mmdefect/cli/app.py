"""``mmdefect app``: a page in the browser, on this machine only."""

from __future__ import annotations

import argparse

from mmdefect.cli.arguments import add_device, add_port

HELP = """Open a page on this machine: look at pictures and see what is found.

MODEL is a line, a work dir, a config or a package. With a line the page also shows two
versions side by side, how the threshold trades misses for false alarms on an exam, the
queue of images to review, and the drift of the last days. It answers 127.0.0.1 only,
and loads nothing from elsewhere; see docs/line.md."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('model', metavar='MODEL', help='line, work dir or package')
    add_port(parser, 7860)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until it is told to stop."""
    from mmdefect.app.desk import Desk

    desk = Desk(args.model, device=args.device)
    try:
        from mmdefect.app.server import serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition('.')[0] == 'mmdefect':
            raise
        raise ImportError(
            f'{error.name} is not installed: expected the extra for the page; run '
            '`pip install "mmdefect[app]"`'
        ) from error
    serve(desk, args.port)
    return 0
