"""``mmdefect line queue``: what a person has to look at."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

from mmdefect.cli.arguments import IMAGE, add_limit, limit_of
from mmdefect.line.queue import consider
from mmdefect.utils.checks import amount, visible

if TYPE_CHECKING:
    from mmdefect.line.queue_entry import Entry

_RULE = cleandoc(consider.__doc__ or '').partition('\n\nArgs:')[0]
HELP = f"""Print the images that wait for a verdict, the oldest first.

{_RULE}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    add_limit(parser)
    parser.add_argument(
        '--dismiss',
        metavar='IMAGE',
        help='take an image out without a verdict; it comes back when it is seen '
        f'again: {IMAGE}',
    )
    parser.add_argument('--by', metavar='NAME', help='who dismisses it')


def run(args: argparse.Namespace) -> int:
    """Print them, or take one out."""
    from mmdefect.line import queue
    from mmdefect.line.folder import Line

    limit = limit_of(args)
    line = Line(args.line)
    if args.by is not None and args.dismiss is None:
        raise ValueError('--by: expected --dismiss IMAGE as well; say which')
    if args.dismiss is not None:
        row = queue.dismiss(line, queue.find(line, args.dismiss), by=args.by)
        print(f'dismissed, row {row.id}; {_wait(queue.count(line))}')
        return 0
    found = queue.entries(line)
    for one in found[:limit]:
        print(json.dumps(asdict(one)) if args.json else _told(one))
    if not args.json:
        full = f'; that is as many as it takes ({line.settings.queue.limit}): later '
        full += 'ones are not taken until some are done'
        left = len(found) - len(found[:limit])
        shown = f', {len(found) - left} of them shown' if left else ''
        print(f'{_wait(len(found))}{shown}{full if queue.is_full(line) else ""}')
    return 0


def _wait(number: int) -> str:
    return amount(number, 'waits', 'wait')


def _told(one: Entry) -> str:
    """An entry in one line."""
    what = ' '.join(filter(None, [one.decision, ', '.join(one.kinds)]))
    if one.score is not None and one.threshold is not None:
        what += f' ({one.score:.4g} of {one.threshold:.4g})'
    if one.detail:
        what += f', {one.detail}'
    version = one.version or '-'
    parts = (one.time, f'{one.reason:15}', version, what, str(one.source), one.image)
    return '  '.join(map(visible, parts))
