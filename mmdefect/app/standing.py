"""How a line is, as HTML: versions, verdicts, drift by day, reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from mmdefect.app.charts import LINES, lines
from mmdefect.app.desk import Desk
from mmdefect.app.reports import links
from mmdefect.app.waiting import line_of
from mmdefect.line.status import Status, status

if TYPE_CHECKING:
    from mmdefect.line.traces import Trace

#: Lines of the newest history, and curves of a chart.
_ROWS, _CURVES = 8, len(LINES)


def standing(desk: Desk) -> str:
    """What ``mmdefect line status`` says, as HTML with its curves.

    Raises:
        OSError, ValueError: Something of the line cannot be read.
    """
    line = line_of(desk)
    found = status(line)
    bands = line.settings.drift
    indices = [one for one in found.present if one.psi is not None]
    shares = [one for one in found.present if one.psi is None]
    return ''.join(
        [
            _headline(found),
            _section('Versions in use', _history(found)),
            _section('Drift', _drift(found)),
            _chart(
                'Difference from the reference (population stability index)',
                indices,
                lambda trace: [float(one) for one in trace.psi],  # type: ignore[union-attr]
                bands.psi,
            ),
            _chart(
                'Share of images', shares, lambda trace: trace.distance.tolist(), None
            ),
            _section('Reports', links(desk)),
        ]
    )


def _headline(found: Status) -> str:
    version = found.version or 'no version'
    out = found.out
    mood = (
        f'<span class="bad">{len(out)} measures left their band</span>'
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
        f'<p>{images} images decided · {found.queue} wait for a verdict · verdicts: '
        f'{escape(said) or "none"}</p>'
    )


def _history(found: Status) -> str:
    newest = [*reversed(found.history)][:_ROWS]
    return _table(
        ('version', 'since (UTC)', 'by'),
        ((one.version, one.since[:16].replace('T', ' '), one.by) for one in newest),
    )


def _drift(found: Status) -> str:
    words = {'ok': 'in its band', 'undecided': 'too few images'}
    rows = (
        (_name(one), words.get(one.state, 'out of its band'), one.left or '–')
        for one in found.present
    )
    notes = ''.join(f'<p class="soft">{escape(one)}</p>' for one in found.undecided)
    return _table(('measure', 'now', 'first day out'), rows) + notes


def _chart(
    title: str,
    traces: Sequence[Trace],
    values: Callable[[Trace], Sequence[float]],
    band: float | None,
) -> str:
    """Curves by day; of many those that are out of their band first."""
    if not traces:
        return ''
    shown = sorted(traces, key=lambda one: one.state != 'out')[:_CURVES]
    days = sorted({day for one in shown for day in one.days})
    curves = {}
    for one in shown:
        known = dict(zip(one.days, values(one), strict=True))
        curves[_name(one)] = [known.get(day) for day in days]
    return _section(title, lines(curves, days, band=band))


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
