"""A line's status in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from mmdefect.line.drift import QUANTILES
from mmdefect.line.gate import RISE, Limits
from mmdefect.line.settings import DriftBands
from mmdefect.line.status import Status
from mmdefect.line.traces import Trace
from mmdefect.utils.checks import amount, some_of, visible

_WIDTH = 11
_PERCENT = f'{"/".join(f"{100 * q:g}" for q in QUANTILES)} %'


def told(found: Status, bands: DriftBands, *, days: int = 7) -> Iterator[str]:
    """A status in lines.

    Args:
        found: To be told.
        bands: Of the line.
        days: Of how many the decisions are told.
    """
    yield from _block('line', [found.line])
    yield from _block('version', _versions(found))
    yield from _block('exams', _exams(found))
    yield from _block('decisions', _decisions(found, days))
    waiting = amount(found.queue, 'image waits', 'images wait')
    yield from _block('queue', [f'{waiting} for a person'])
    verdicts = ', '.join(f'{name} {count}' for name, count in found.verdicts.items())
    yield from _block('verdicts', [verdicts])
    yield from _block('verified', [_verified(found)])
    yield from _block('drift', [*_drift(found, bands)])


def _block(name: str, lines: list[str]) -> Iterator[str]:
    for place, line in enumerate(lines):
        yield f'{"" if place else name:{_WIDTH}}{line}'


def _versions(found: Status) -> list[str]:
    if not found.history:
        return ['none yet; promote a package']
    newest = found.history[-1]
    lines = [f'{newest.version} since {_minute(newest.since)} ({newest.by})']
    earlier = [f'{one.version} from {_minute(one.since)}' for one in found.history[:-1]]
    return [*lines, f'before: {", ".join(earlier[-5:])}'] if earlier else lines


def _exams(found: Status) -> list[str]:
    return [
        f'{one.name}: {amount(one.images, "image")}, {amount(one.days, "day")} old; '
        f'{_limits(one.limits)}{f"; {visible(one.note)}" if one.note else ""}'
        for one in found.exams
    ] or ['none; a promotion has nothing to prove']


def _limits(limits: Limits) -> str:
    """What an exam allows, as `add-exam` is told it."""
    rise = f'{RISE:g} more' if limits.false_alarms is None else limits.false_alarms
    least = '' if limits.least is None else f', least {limits.least:g}'
    return f'lose {limits.lose:g}, false alarms {rise}{least}'


def _decisions(found: Status, days: int) -> list[str]:
    return [
        f'{one.day}  {_counts(one.decisions)}; {one.queued} to the queue'
        for one in found.days[-days:]
    ] or ['none yet']


def _counts(decisions: Mapping[str, int]) -> str:
    return ', '.join(f'{name} {count}' for name, count in sorted(decisions.items()))


def _verified(found: Status) -> str:
    last = found.verified
    if last is None:
        return 'never; run `mmdefect line verify`'
    when = _minute(last['time'])
    if not last['ok']:
        return f'WRONG on {when}: {last["sentence"]}'
    since = amount(found.unverified, 'row')
    return f'all {amount(last["rows"], "row")} on {when}; {since} since'


def _drift(found: Status, bands: DriftBands) -> Iterator[str]:
    if not found.references:
        yield (
            'not watched: there is no reference; run `mmdefect line reference LINE '
            'IMAGES`'
        )
        return
    for trace in sorted(found.traces, key=lambda one: one.left or '~'):
        if trace in found.present or trace.left:
            yield sentence(trace, bands)
    yield from found.undecided


def _minute(time: str) -> str:
    """A time to the minute, in UTC as all of them are."""
    return time[:16].replace('T', ' ')


def sentence(trace: Trace, bands: DriftBands) -> str:
    """A measure in one line: where it is, when it left its band, what is undecided."""
    of = f' of {trace.product}' if trace.product else ''
    by = f' by {trace.version}' if trace.version else ''
    parts = [*_left(trace), *_now(trace)]
    if few := trace.states.count('undecided'):
        parts.append(
            f'{few} of {amount(len(trace.days), "day")} undecided '
            f'({_lacks(trace, bands)})'
        )
    if trace.reference is not None:
        parts.append(
            f'pictures of {some_of(trace.pictures)}, by the reference of '
            f'{trace.reference}'
        )
    return f'{trace.measure}{of}{by}: {"; ".join(parts)}'


def _lacks(trace: Trace, bands: DriftBands) -> str:
    """Why days are undecided: they have few images, or their reference has."""
    both = zip(trace.states, trace.images.tolist(), strict=True)
    if any(state == 'undecided' and number >= bands.least for state, number in both):
        return (
            f'the reference has fewer than {bands.least} images; make it again with '
            'more'
        )
    return f'fewer than {bands.least} images'


def _left(trace: Trace) -> Iterator[str]:
    if trace.left is None:
        return
    since = trace.out_since
    if since is None:
        yield f'left its band on {trace.left}, and came back'
    elif since == trace.left:
        yield f'OUT since {since}'
    else:
        yield f'OUT since {since}, the first time on {trace.left}'


def _now(trace: Trace) -> Iterator[str]:
    if trace.states[-1:] == ('undecided',):
        yield f'undecided on {trace.days[-1]} ({amount(trace.images[-1], "image")})'
    at = trace.decided
    if at is None:
        return
    state = 'ok ' if trace.state == 'ok' else ''
    where = f'{state}on {trace.days[at]} ({amount(trace.images[at], "image")})'
    if trace.quantiles is None or trace.psi is None:
        low, high = trace.normal
        share = f'{trace.distance[at]:.1%}, expected {low:.1%} to {high:.1%}'
        yield f'{where}: {share}, p {trace.p[at]:.1g}'
        return
    found, usual = (
        '/'.join(map(_number, some)) for some in (trace.quantiles[at], trace.normal)
    )
    yield (
        f'{where}: {_PERCENT} at {found}, usually {usual}, index '
        f'{trace.psi[at]:.2f}, p {trace.p[at]:.1g}'
    )


def _number(value: float) -> str:
    return 'none' if math.isnan(value) else f'{value:.3g}'
