"""``mmdefect line since-when``: from which date and version on it was overlooked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.cli.arguments import IMAGE
from mmdefect.utils.checks import amount, visible

if TYPE_CHECKING:
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row
    from mmdefect.line.replay import ImageHistory, Period, Replay
    from mmdefect.line.since_when import KindHistory

HELP = """Say from which date and version on a defect was overlooked.

--kind reads the log: images of which a verdict says that the kind was missed, and all
that was ever decided on the same images. Nothing is looked at again.
--image has every version of the line look at the image again; with --kind for that.
Exit status 1 if none could."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('line', metavar='LINE', type=Path, help='its folder')
    parser.add_argument(
        '--image', metavar='IMAGE', help=f'that was overlooked: {IMAGE}'
    )
    parser.add_argument('--kind', metavar='NAME', help='of the defect')
    parser.add_argument('--json', action='store_true', help='print JSON')


def run(args: argparse.Namespace) -> int:
    """Find out, and say it."""
    from mmdefect.line.folder import Line

    line = Line(args.line)
    if args.image is not None:
        from mmdefect.line.replay import since_when_image

        found = since_when_image(line, args.image, kind=args.kind)
        lines, content = _of_image(line, found), _image_dict(found)
        status = int(not found.is_looked_at)
    elif args.kind is not None:
        from mmdefect.line.since_when import since_when_kind

        history = since_when_kind(line, args.kind)
        lines, content, status = _of_kind(history), _kind_dict(history), 0
    else:
        raise ValueError('neither --image nor --kind: expected one; give it')
    print(json.dumps(content) if args.json else '\n'.join(lines))
    return status


def _of_kind(found: KindHistory) -> Iterator[str]:
    kind, first, last = found.kind, found.first_overlooked, found.last_found
    for one in found.counts:
        gone = '' if one.is_there else ', whose package is gone'
        yield (
            f'{one.version}{gone}: {one.state} {amount(one.decisions, "time")} on '
            f'{amount(one.images, "image")}, from {one.first.time} to {one.last.time}'
        )
    if not found.counts:
        yield (
            f'nobody has said that {kind} was missed; it is on '
            f'{amount(found.confirmed, "reviewed image")}'
        )
        return
    if first is None:
        yield f'{kind}: no decision of the log has overlooked it'
    else:
        yield f'{kind}: overlooked since {_at(first)}'
    if last is None:
        yield f'{kind}: never found on these images'
    else:
        yield f'{kind}: found the last time {_at(last)}'


def _at(row: Row) -> str:
    return f'{row.time}, by {row.version}, on {visible(str(row.source))}'


def _of_image(line: Line, found: ImageHistory) -> Iterator[str]:
    from mmdefect.line.replay import decisions_in

    what = found.kind or 'any defect'
    yield f'{visible(str(found.path))} ({found.image}), looked at for {what}'
    for one in found.replays:
        yield _told(one)
    for period in found.overlooked:
        until = period.until
        number = decisions_in(line, period)
        end = f' until {until}' if until else ''
        yield (
            f'overlooked since {period.since}{end}, with {period.version}: '
            f'{amount(number, "decision was", "decisions were")} made in that time'
        )
    if not found.is_looked_at:
        yield 'no version could look at it: whether it is overlooked is not known'
    elif not found.overlooked:
        yield 'overlooked by no version that can look'


def _told(one: Replay) -> str:
    period, seen = one.period, one.prediction
    said = f'{one.state}'
    if seen is None:
        said = f'it cannot look: {one.lacks}'
    elif seen.error is not None:
        said = f'{one.state}: {visible(seen.error)}'
    elif seen.score is not None and seen.threshold is not None:
        kinds = f', {", ".join(seen.kinds)}' if seen.kinds else ''
        said += f' ({seen.decision}{kinds}, {seen.score:.4g} of {seen.threshold:.4g})'
    decided = one.decided.items()
    then = ', '.join(f'{name} {amount(number, "time")}' for name, number in decided)
    log = f'; by the log {then}' if then else ''
    return f'{period.version}, {period.since} to {period.until or "now"}: {said}{log}'


def _kind_dict(found: KindHistory) -> dict[str, Any]:
    first, last = found.first_overlooked, found.last_found
    return {
        'kind': found.kind,
        'confirmed': found.confirmed,
        'overlooked_since': None if first is None else _row_dict(first),
        'last_found': None if last is None else _row_dict(last),
        'counts': [
            {
                'version': one.version,
                'state': one.state,
                'decisions': one.decisions,
                'images': one.images,
                'first': _row_dict(one.first),
                'last': _row_dict(one.last),
                'is_there': one.is_there,
            }
            for one in found.counts
        ],
    }


def _row_dict(row: Row) -> dict[str, Any]:
    names = ('id', 'time', 'version', 'image', 'source')
    return {name: getattr(row, name) for name in names}


def _period_dict(period: Period) -> dict[str, Any]:
    return {name: getattr(period, name) for name in ('version', 'since', 'until')}


def _image_dict(found: ImageHistory) -> dict[str, Any]:
    return {
        'image': found.image,
        'path': str(found.path),
        'kind': found.kind,
        'overlooked': [_period_dict(period) for period in found.overlooked],
        'replays': [
            {
                **_period_dict(one.period),
                'state': one.state,
                'lacks': one.lacks,
                'decided': one.decided,
                'result': None if one.prediction is None else one.prediction.to_dict(),
            }
            for one in found.replays
        ],
    }
