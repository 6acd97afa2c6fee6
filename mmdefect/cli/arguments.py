"""Arguments that several subcommands have in common."""

from __future__ import annotations

import argparse
from typing import Any

from mmdefect.utils.checks import check_number, visible

IMAGE = 'its file, or its hash, or 8 digits of that or more, or its name in the log'
"""How an image is given: what :func:`mmdefect.line.decided.find_decision` takes."""
_MOST_PORT = 65_535
_LISTED = 20  # lines for a person who has not said how many


def add_model(
    parser: argparse.ArgumentParser,
    *,
    what: str = 'work dir, config or package',
    optional: bool = False,
) -> None:
    """Declare MODEL, ``--weights`` and ``--step``.

    Args:
        parser: That gets them.
        what: MODEL may be.
        optional: Whether MODEL may be left out; then the module is ``INTERMIXED``.
    """
    count = '?' if optional else None
    parser.add_argument('model', metavar='MODEL', nargs=count, help=what)
    parser.add_argument(
        '--weights', metavar='FILE', help="by default the work dir's own"
    )
    parser.add_argument(
        '--step', type=int, metavar='K', help='of a stream; by default the last'
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Declare ``--device``."""
    parser.add_argument(
        '--device', default='auto', help='auto, cpu, cuda, cuda:1 ... (auto)'
    )


def model_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What :func:`add_model` and :func:`add_device` have read."""
    return {
        name: getattr(args, name) for name in ('model', 'weights', 'step', 'device')
    }


def add_threshold(parser: argparse.ArgumentParser) -> None:
    """Declare ``--threshold``."""
    parser.add_argument(
        '--threshold',
        action='append',
        metavar='[NAME=]VALUE',
        help='from which score on it is a defect; of one class or product by its name; '
        'may be given several times',
    )


def threshold_of(args: argparse.Namespace) -> float | dict[str, float] | None:
    """What :func:`add_threshold` has read: one number, or numbers by name.

    Raises:
        ValueError: It is something else.
    """
    given: list[str] | None = args.threshold
    if given is None:
        return None
    pairs = [text.rpartition('=') for text in given]
    try:
        numbers = {name: float(value) for name, _, value in pairs}
    except ValueError:
        numbers = {}
    if len(numbers) < len(given) or ('' in numbers and len(numbers) > 1):
        raise ValueError(
            f'--threshold {" ".join(given)}: expected one number, or a number a name '
            'as scratch=0.4, each name once'
        )
    return numbers.get('', numbers)


def add_tile(parser: argparse.ArgumentParser) -> None:
    """Declare ``--tile``."""
    parser.add_argument(
        '--tile', metavar='SIZE,OVERLAP', help='cut large images; in pixels: 1024,128'
    )


def tile_of(args: argparse.Namespace) -> dict[str, int] | None:
    """What :func:`add_tile` has read, in pixels.

    Raises:
        ValueError: It is something else.
    """
    if args.tile is None:
        return None
    parts = args.tile.split(',')
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(
            f'--tile {args.tile}: expected two numbers of pixels, as 1024,128'
        )
    size, overlap = map(int, parts)
    return dict(size=size, overlap=overlap)


def add_bits(parser: argparse.ArgumentParser) -> None:
    """Declare ``--bits``."""
    parser.add_argument(
        '--bits', type=int, metavar='N', help='of 16-bit images, e.g. 12; else 16'
    )


def add_port(parser: argparse.ArgumentParser, usual: int) -> None:
    """Declare ``--port``.

    Args:
        parser: That gets it.
        usual: Where it listens by default.
    """
    parser.add_argument(
        '--port',
        type=_port,
        default=usual,
        metavar='N',
        help=f'0 for a free one ({usual})',
    )


def _port(text: str) -> int:
    """A port that there is: others are taken modulo 65536 by the system.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    digits = text if text.isascii() and text.isdecimal() else ''
    if 0 < len(digits) <= 5 and int(digits) <= _MOST_PORT:
        return int(digits)
    raise argparse.ArgumentTypeError(
        f'{visible(text)}: expected a port, 1 to {_MOST_PORT}, or 0 for a free one'
    )


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Declare ``--limit`` and ``--json`` of what may be long."""
    parser.add_argument(
        '--limit',
        type=int,
        metavar='N',
        help=f'at most so many ({_LISTED}; with --json all)',
    )
    parser.add_argument('--json', action='store_true', help='one JSON object a line')


def limit_of(args: argparse.Namespace) -> int | None:
    """How many are asked for; None for all: other programs get no part unasked.

    Raises:
        ValueError: None at all.
    """
    if args.limit is not None:
        check_number('--limit', args.limit, 1, whole=True)
        return int(args.limit)
    return None if args.json else _LISTED


def add_line(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare ``--line``."""
    parser.add_argument(
        '--line',
        metavar='LINE',
        help=f'{what}: the version in use decides, and its decisions are written down',
    )
