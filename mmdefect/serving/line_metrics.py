"""What a server tells Prometheus of the line that it writes into."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from mmdefect.line.status import Status
from mmdefect.line.traces import Trace

_WHOSE = ['measure', 'product', 'version']
_NUMBER = {'ok': 0.0, 'out': 1.0, 'undecided': float('nan')}


class LineMetrics:
    """Gauges of one line.

    Args:
        registry: That they are part of.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        self._version = gauge(
            'mmdefect_line_version_info', '1 for the version in use', ['version']
        )
        self._queue = gauge('mmdefect_line_queue', 'Images that wait for a person')
        self._verdicts = gauge('mmdefect_line_verdicts', 'Given so far', ['verdict'])
        self._verified = gauge(
            'mmdefect_line_verified',
            'Whether the log was right when it was last verified: 1 or 0, NaN if never',
        )
        self._unverified = gauge(
            'mmdefect_line_unverified_rows', 'Rows that were written since, or all'
        )
        self._out = gauge(
            'mmdefect_line_out_of_band',
            'Of the newest day with images enough: 1 out of its band, 0 not; NaN if '
            'there is no such day, or no reference',
            _WHOSE,
        )
        self._since = gauge(
            'mmdefect_line_out_since_seconds',
            'First day out of the band since it was last in it, as seconds since 1970; '
            'only of what is out',
            _WHOSE,
        )
        self._index = gauge(
            'mmdefect_line_drift',
            'Population stability index of that day, of alarms and unknown products '
            'their share',
            _WHOSE,
        )
        self._day = gauge(
            'mmdefect_line_drift_day_seconds', 'That day, as seconds since 1970', _WHOSE
        )

    def update(self, found: Status) -> None:
        """Tell what was found in place of what was told before."""
        self._queue.set(found.queue)
        last = found.verified
        self._verified.set(float(last['ok']) if last else float('nan'))
        self._unverified.set(found.unverified)
        labelled = (self._version, self._out, self._since, self._index, self._day)
        for one in labelled:
            one.clear()
        if found.version:
            self._version.labels(found.version).set(1)
        for name, count in found.verdicts.items():
            self._verdicts.labels(name).set(count)
        for trace in found.present:
            self._trace(trace)

    def _trace(self, trace: Trace) -> None:
        whose = (trace.measure, trace.product or '', trace.version or '')
        self._out.labels(*whose).set(_NUMBER[trace.state])
        if trace.out_since is not None:
            self._since.labels(*whose).set(_seconds(trace.out_since))
        at = trace.decided
        if at is not None:
            value = trace.distance if trace.psi is None else trace.psi
            self._index.labels(*whose).set(float(value[at]))
            self._day.labels(*whose).set(_seconds(trace.days[at]))


def _seconds(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=timezone.utc).timestamp()
