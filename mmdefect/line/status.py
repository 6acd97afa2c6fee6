"""How a line is: what is in use, what was decided, whether it still looks the same.

Reads the sums that the log keeps by day, never its decisions one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from mmdefect.line import queue, reference
from mmdefect.line.exams import written_down
from mmdefect.line.folder import Line
from mmdefect.line.gate import Limits
from mmdefect.line.log import Day
from mmdefect.line.reference import Reference
from mmdefect.line.row import utc
from mmdefect.line.sealing import read_verified
from mmdefect.line.traces import Trace
from mmdefect.line.versions import PROMOTED
from mmdefect.line.watch import SHARES, UNKNOWN, traces_of
from mmdefect.utils.text_files import read_json

VERDICTS = ('confirmed', 'false alarm', 'missed', 'wrong kind')


@dataclass(frozen=True, kw_only=True)
class InUse:
    """A time in which a version was in use.

    Attributes:
        version: Such as ``'v0001'``.
        since: UTC.
        by: ``'promotion'`` or ``'rollback'``, with ``'forced '`` before it if it was.
    """

    version: str
    since: str
    by: str


@dataclass(frozen=True, kw_only=True)
class ExamAge:
    """A frozen test set.

    Attributes:
        name: Of its folder.
        added: UTC.
        days: How old it is.
        images: How many it has.
        limits: What may be lost.
        note: Of its owner.
    """

    name: str
    added: str
    days: int
    images: int
    limits: Limits
    note: str


@dataclass(frozen=True, kw_only=True)
class DayCount:
    """All decisions of a day.

    Attributes:
        day: ``YYYY-MM-DD``, UTC.
        decisions: How many of each.
        queued: How many of them a person has to look at.
    """

    day: str
    decisions: Mapping[str, int]
    queued: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Status:
    """How a line is.

    Attributes:
        line: Its folder.
        time: When this was found, UTC.
        version: In use; None before the first promotion.
        history: Which version was in use since when, the newest last.
        exams: With their age.
        days: Decisions by day, the newest last.
        queue: Images that wait for a person.
        verdicts: How many of each; each image and verdict as often as it was given.
        verified: What the last verification found: ``time``, ``ok``, ``rows``,
            ``sentence``; None if there was none.
        unverified: Rows that were written since, all if there was none.
        references: Version -> where its reference comes from.
        traces: All that is measured, day by day.
        undecided: What cannot be judged, and why, in sentences.
    """

    line: str
    time: str
    version: str | None
    history: tuple[InUse, ...]
    exams: tuple[ExamAge, ...]
    days: tuple[DayCount, ...]
    queue: int
    verdicts: Mapping[str, int]
    verified: Mapping[str, Any] | None
    unverified: int
    references: Mapping[str, str]
    traces: tuple[Trace, ...]
    undecided: tuple[str, ...]

    @property
    def present(self) -> tuple[Trace, ...]:
        """Traces of the version in use, and of the pictures, by the last reference."""
        known = (None, self.version)
        found = {
            (trace.measure, trace.product): trace
            for trace in sorted(self.traces, key=lambda one: one.days[-1])
            if trace.version in known
        }
        return tuple(found.values())

    @property
    def out(self) -> tuple[Trace, ...]:
        """Of these, what was out of its band on the newest day that is decided."""
        return tuple(trace for trace in self.present if trace.state == 'out')

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can hold."""
        same = ('line', 'time', 'version', 'queue', 'verified', 'unverified')
        parts = {
            name: [asdict(one) for one in getattr(self, name)]
            for name in ('history', 'exams', 'days')
        }
        return {
            **{name: getattr(self, name) for name in same},
            **parts,
            'verdicts': dict(self.verdicts),
            'references': dict(self.references),
            'drift': [trace.to_dict() for trace in self.traces],
            'undecided': list(self.undecided),
        }


def status(line: Line, *, now: datetime | None = None) -> Status:
    """Find out how a line is.

    Args:
        line: To be looked at; nothing of it is changed.
        now: By default the clock's.

    Raises:
        OSError, ValueError: Something of the line cannot be read.
    """
    now = now or datetime.now(timezone.utc)
    days = line.log.days()
    references = reference.read(line)
    traces, missing = _traces(line, days, references)
    newest = next(line.log.rows(newest=True, limit=1), None)
    verified = _last_verified(line, now)
    last = newest.id if newest else 0
    return Status(
        line=str(line.folder),
        time=now.isoformat(timespec='seconds'),
        version=line.current(),
        history=_history(line),
        exams=_exams(line, now),
        days=_by_day(days),
        queue=queue.count(line),
        verdicts=_verdicts(days),
        verified=verified,
        unverified=last - (verified['rows'] if verified else 0),
        references={name: one.origin for name, one in references.items()},
        traces=tuple(traces),
        undecided=(*missing, *_not_measured(days)),
    )


def _last_verified(line: Line, now: datetime) -> Mapping[str, Any] | None:
    try:
        return read_verified(line)
    except ValueError as error:  # a damaged note: all else can be told
        return {'time': utc(now), 'ok': False, 'rows': 0, 'sentence': str(error)}


def _history(line: Line) -> tuple[InUse, ...]:
    promoted = line.log.rows(kind='promotion')
    rows = [row for row in promoted if row.body.get('state') == PROMOTED]
    rows += line.log.rows(kind='rollback')
    return tuple(
        InUse(
            version=str(row.version),
            since=row.time,
            by=f'{"forced " if row.body.get("forced") else ""}{row.kind}',
        )
        for row in sorted(rows, key=lambda row: row.id)
    )


def _exams(line: Line, now: datetime) -> tuple[ExamAge, ...]:
    found = []
    known = written_down(line)
    for path in sorted(line.exams_dir.glob('*/exam.json')):
        if known.get(path.parent.name) is None:
            continue  # what a kill has left
        content = read_json(path, 'description of an exam')
        try:
            added = datetime.fromisoformat(content['added'])
            age, number = (now - added).days, len(content['images'])
            limits, note = Limits(**content['limits']), str(content['note'])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path} is not as it was written ({error}): expected an exam; restore '
                'it, or add it again with `mmdefect line add-exam`'
            ) from None
        found.append(
            ExamAge(
                name=path.parent.name,
                added=content['added'],
                days=age,
                images=number,
                limits=limits,
                note=note,
            )
        )
    return tuple(found)


def _by_day(days: list[Day]) -> tuple[DayCount, ...]:
    decisions: dict[str, Counter[str]] = {}
    queued: Counter[str] = Counter()
    for one in days:
        if one.images:  # rows of other kinds have a day, too
            decisions.setdefault(one.day, Counter()).update(one.decisions)
            queued[one.day] += one.queued
    return tuple(
        DayCount(day=day, decisions=dict(counts), queued=queued[day])
        for day, counts in sorted(decisions.items())
    )


def _verdicts(days: list[Day]) -> dict[str, int]:
    counts = reference.total(one.verdicts for one in days)
    return {name: counts[name] for name in VERDICTS}


def _traces(
    line: Line, days: list[Day], references: Mapping[str, Reference]
) -> tuple[list[Trace], list[str]]:
    try:
        return traces_of(days, references, line.settings.drift)
    except ImportError as error:  # the rest is known without it
        return [], [f'drift: undecided, {error}']


def _not_measured(days: list[Day]) -> list[str]:
    """Routing distances of lines that know products: no prediction holds one yet."""
    products = {one.product for one in days} - {None}
    unknown = any(SHARES[UNKNOWN] in one.decisions for one in days)
    routed = len(products) > 1 or unknown
    if not routed or any('distance' in one.histograms for one in days):
        return []
    return [
        'routing distance: not measured, predictions do not hold it; the share of '
        'unknown products stands for it'
    ]
