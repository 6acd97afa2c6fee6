"""How a line is, as HTML: versions, verdicts, drift by day, reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from mmdefect.app.charts import LINES, lines
from mmdefect.app.desk import Desk
from mmdefect.app.reports import links
from mmdefect.app.waiting import line_of
from mmdefect.line.status import Status, status
from mmdefect.utils.checks import amount

if TYPE_CHECKING:
    from mmdefect.line.traces import Trace

#: Lines of the history, the newest.
_ROWS = 8


def standing(desk: Desk) -> str:
    """What ``mmdefect line status`` says, as HTML with its curves.

    Raises:
        OSError, ValueError: Something of the line cannot be read.
    """
    line = line_of(desk)
    found = status(line)
    return ''.join(
        [
            _headline(found),
            _section('Versions in use', _history(found)),
            _section('Drift', _drift(found)),
            *_charts(found, line.settings.drift.psi),
            _section('Reports', links(desk)),
        ]
    )


def _headline(found: Status) -> str:
    version = found.version or 'no version'
    out = found.out
    names = ', '.join(dict.fromkeys(trace.measure for trace in out))
    mood = (
        f'<span class="bad">out of its band: {escape(names)}</span>'
        if out
        else '<span class="good">no drift</span>'
        if any(trace.state == 'ok' for trace in found.present)
        else 'drift is not judged'
    )
    said = ', '.join(
        f'{count} {name}' for name, count in found.verdicts.items() if count
    )
    images = sum(sum(day.decisions.values()) for day in found.days)
    return (
        f'<p class="big">{escape(version)} in use · {mood}</p>'
        f'<p>{amount(images, "image")} decided · '
        f'{amount(found.queue, "waits", "wait")} for a verdict · verdicts: '
        f'{escape(said) or "none"}</p>'
    )


def _history(found: Status) -> str:
    newest = [*reversed(found.history)][:_ROWS]
    return _table(
        ('version', 'since (UTC)', 'by'),
        ((one.version, one.since[:16].replace('T', ' '), one.by) for one in newest),
    )


def _drift(found: Status) -> str:
    rows = ((_name(one), _state(one)) for one in found.present)
    notes = ''.join(f'<p class="soft">{escape(one)}</p>' for one in found.undecided)
    return _table(('measure', 'now'), rows) + notes


def _state(trace: Trace) -> str:
    if trace.state == 'out':
        return f'out of its band since {trace.left}'
    now = 'in its band' if trace.state == 'ok' else 'too few images'
    return now if trace.left is None else f'{now}, first out of it {trace.left}'


def _charts(found: Status, band: float) -> Iterator[str]:
    """Curves of what is compared by histograms, then of shares; gaps without images."""
    indices = [one for one in found.present if one.psi is not None]
    shares = [one for one in found.present if one.psi is None]
    if indices:
        title = 'Difference from the reference (population stability index)'
        curves, days = _curves(indices, [one.psi for one in indices])
        yield _section(title, lines(curves, days, band=band))
    if shares:
        curves, days = _curves(shares, [one.distance for one in shares])
        # Of several, each has its own.
        most = shares[0].normal[-1] if len(shares) == 1 else None
        chart = lines(curves, days, band=most, percent=True)
        yield _section('Share of images', chart)


def _curves(
    traces: Sequence[Trace], values: Sequence[Any]
) -> tuple[dict[str, list[float | None]], list[str]]:
    """Values by name, one a day, and the days; those out of their band come first."""
    both = sorted(
        zip(traces, values, strict=True), key=lambda one: one[0].state != 'out'
    )
    days = sorted({day for one in traces for day in one.days})
    curves = {}
    for one, own in both[: len(LINES)]:
        known = {
            day: float(value)
            for day, value, state in zip(one.days, own, one.states, strict=True)
            if state != 'undecided'
        }
        curves[_name(one)] = [known.get(day) for day in days]
    return curves, days


def _name(trace: Trace) -> str:
    of = [one for one in (trace.product, trace.version) if one]
    return f'{trace.measure} ({", ".join(of)})' if of else trace.measure


def _section(title: str, content: str) -> str:
    return f'<h3>{escape(title)}</h3>{content}' if content else ''


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = ''.join(
        f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>'
        for row in rows
    )
    if not body:
        return ''
    head = ''.join(f'<th>{escape(name)}</th>' for name in header)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
