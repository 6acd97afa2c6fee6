"""``mmdefect line log``: the newest rows, as lines or JSON."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from mmdefect.utils.checks import check_number, visible

if TYPE_CHECKING:
    from mmdefect.line.log import Row

#: Of a hash; `--image` takes as many.
_DIGITS = 12
#: What a line tells of a body.
_SAID = ('queued', 'why', 'note', 'clock', 'error')
HELP = """Print the newest rows of a line's log: decisions, verdicts, promotions."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from mmdefect.line.log import Kind

    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument(
        '--limit', type=int, default=20, metavar='N', help='at most so many (20)'
    )
    parser.add_argument('--kind', choices=get_args(Kind), help='only of this')
    parser.add_argument('--version', metavar='V', help='only of this one, as v0001')
    parser.add_argument(
        '--defect', metavar='NAME', help='only with this kind of defect'
    )
    parser.add_argument('--image', metavar='X', help='its file, or digits')
    parser.add_argument('--since', metavar='TIME', help='UTC, as 2026-11-30')
    parser.add_argument('--until', metavar='TIME', help='UTC, before this')
    parser.add_argument('--json', action='store_true', help='one JSON object a line')


def run(args: argparse.Namespace) -> int:
    """Print them, the newest last."""
    from mmdefect.line.folder import Line

    check_number('--limit', args.limit, 1, whole=True)
    names = ('kind', 'version', 'defect', 'image', 'since', 'until', 'limit')
    filters = {name: getattr(args, name) for name in names}
    log = Line(args.line).log
    if args.image is not None:
        filters['image'] = log.find_image(args.image)
    rows = [*log.rows(**filters, newest=True)]
    for row in reversed(rows):
        print(json.dumps(asdict(row)) if args.json else _told(row))
    return 0


def _told(row: Row) -> str:
    """A row in one line: when, what, of which version, on which image."""
    parts = [f'{row.id:>7}  {row.time[:19]}Z  {row.kind:9}  {row.version or "-":6}']
    parts += [one for one in (row.decision, ', '.join(row.kinds)) if one]
    for name in ('score', 'threshold'):
        value = getattr(row, name)
        parts += [] if value is None else [f'{name} {value:.3g}']
    parts += [f'{name}: {row.body[name]}' for name in _SAID if row.body.get(name)]
    parts += [one for one in (row.product, row.source) if one]
    if row.image is not None:
        parts.append(row.image[: row.image.find(':') + 1 + _DIGITS])
    return '  '.join(map(visible, parts))
