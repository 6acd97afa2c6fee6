"""``mmdefect line log``: what has happened, as lines or JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from mmdefect.cli.arguments import IMAGE, add_limit, limit_of
from mmdefect.utils.checks import some_of, visible

if TYPE_CHECKING:
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row

#: Of a hash; `--image` takes as many.
_DIGITS = 12
#: What a line tells of a body.
_SAID = ('queued', 'why', 'note', 'by', 'origin', 'clock', 'error', 'picture')
HELP = """Print a line's log, the newest last: decisions, verdicts, promotions.

--json prints every row, with all that it holds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from mmdefect.line.log import Kind

    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    add_limit(parser)
    parser.add_argument('--kind', choices=get_args(Kind), help='only of this')
    parser.add_argument('--version', metavar='V', help='only of this one, as v0001')
    parser.add_argument(
        '--defect', metavar='NAME', help='only with this kind of defect'
    )
    parser.add_argument('--image', metavar='IMAGE', help=f'only of this: {IMAGE}')
    parser.add_argument('--since', metavar='TIME', help='UTC, as 2026-11-30')
    parser.add_argument('--until', metavar='TIME', help='UTC, before this')


def run(args: argparse.Namespace) -> int:
    """Print them, the newest last."""
    from mmdefect.line.decided import find_decision
    from mmdefect.line.folder import Line

    limit = limit_of(args)
    names = ('kind', 'version', 'defect', 'image', 'since', 'until')
    filters = {name: getattr(args, name) for name in names}
    line = Line(args.line)
    log = line.log
    if args.image is not None:
        filters['image'] = find_decision(log, args.image).image
    _check_names(line, args)
    rows = log.rows(**filters)  # of all, one after the other: there may be millions
    if limit is not None:
        listed = [*log.rows(**filters, newest=True, limit=limit)]
        rows = reversed(listed)
        more = 0 if len(listed) < limit or args.json else log.count(**filters) - limit
        if more > 0:
            print(f'{more} older ones are not listed; give a larger --limit, or --json')
    printed = False
    for row in rows:
        print(json.dumps(asdict(row)) if args.json else _told(row))
        printed = True
    if not printed and not args.json:
        print('no row')
    return 0


def _check_names(line: Line, args: argparse.Namespace) -> None:
    """Refuse a version or a kind of defect that the line has never had.

    Raises:
        ValueError: Naming what there is.
    """
    from mmdefect.line.since_when import check_kind
    from mmdefect.line.versions import promotions

    version, defect = args.version, args.defect
    if version is not None and not any(line.log.rows(version=version, limit=1)):
        known = [str(row.version) for row in promotions(line)]
        there = some_of(known) or 'none'
        raise ValueError(
            f'--version {visible(version)} is in no row of {line.folder}: expected '
            f'a version of the line ({there}); see `mmdefect line versions`'
        )
    if defect is not None and not any(line.log.rows(defect=defect, limit=1)):
        check_kind(line, defect, what='--defect')


def _told(row: Row) -> str:
    """A row in one line: when, what, of which version, on which image."""
    parts = [f'{row.id:>7}  {row.time[:19]}Z  {row.kind:9}  {row.version or "-":6}']
    parts += [one for one in (row.decision, ', '.join(row.kinds)) if one]
    for name in ('score', 'threshold'):
        value = getattr(row, name)
        parts += [] if value is None else [f'{name} {value:.3g}']
    parts += _happened(row)
    parts += [f'{name}: {row.body[name]}' for name in _SAID if row.body.get(name)]
    parts += [one for one in (row.product, row.source) if one]
    if row.image is not None:
        parts.append(row.image[: row.image.find(':') + 1 + _DIGITS])
    return '  '.join(map(visible, parts))


def _happened(row: Row) -> Iterator[str]:
    """What became of a promotion or a rollback, or what a note is about."""
    from mmdefect.line.versions import REFUSED

    body = row.body
    if row.kind == 'note':
        yield ' '.join(str(body[name]) for name in ('what', 'exam') if name in body)
        limits = dict(body.get('limits', {})).items()
        yield from (f'{name} {value}' for name, value in limits if value is not None)
    if row.kind not in ('promotion', 'rollback'):
        return
    state, before = body.get('state'), body.get('from')
    if state is not None:
        yield f'{state}, forced' if body.get('forced') else state
    if before is not None:
        yield f'{before} stays' if state == REFUSED else f'in place of {before}'
    if 'source' in body:
        yield f'package: {body["source"]}'
    yield from body.get('reasons', ())
