"""All that happens on a line, in one table that only grows: each row hashes the last.

SQLite with a write-ahead log. A row that was answered for outlives a kill of the
process; a power cut may cost the newest rows, never the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

Kind = Literal['decision', 'verdict', 'promotion', 'rollback', 'note']


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing that happened.

    Attributes:
        id: From 1, without gaps.
        time: UTC, ISO 8601 with microseconds and ``Z``.
        kind: ``'decision'``, ``'verdict'``, ``'promotion'``, ``'rollback'``, ``'note'``.
        version: Of the model, such as ``'v0001'``.
        image: SHA-256 of the image's file; of an array or a frame ``pixels:`` and that
            of its pixels.
        source: Where the image came from, as it was called there.
        product: Which it shows.
        decision: As a prediction has it; of a verdict what was said.
        score: What was compared with the threshold.
        threshold: The one that decided.
        kinds: Of defects: found (decision) or named (verdict).
        body: All else, plain data: ``boxes`` from their threshold on, ``size``,
            ``brightness``, ``sharpness``, ``queued`` (why), ``error``, ``clock``.
        hash: SHA-256 of the hash before it and of all of the above, 64 digits.
    """

    id: int
    time: str
    kind: Kind
    version: str | None = None
    image: str | None = None
    source: str | None = None
    product: str | None = None
    decision: str | None = None
    score: float | None = None
    threshold: float | None = None
    kinds: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ''


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What reading the whole log has shown.

    Attributes:
        ok: Whether the chain is whole and what is derived from it agrees.
        rows: How many there are.
        bad: The first row that is wrong, by its id; None if none is.
        sentence: All that in one line.
        notes: What is no error, e.g. that the clock went back.
    """

    ok: bool
    rows: int
    bad: int | None = None
    sentence: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Day:
    """Decisions of a day (UTC), by one version on one product.

    Attributes:
        day: As ``'2026-11-30'``.
        version: Of the model.
        product: None where it is not known, or of models that know none.
        decisions: How many of each: ``{'ok': 96, 'defective': 4}``.
        queued: How many of them a person has to look at.
        histograms: Of ``'score'``, ``'brightness'``, ``'sharpness'`` and whatever else
            is measured: bin -> number of images, only bins that are not empty. See
            :func:`mmdefect.line.histogram.bin_of` and ``lower_edge``.
    """

    day: str
    version: str | None
    product: str | None
    decisions: Mapping[str, int]
    queued: int = 0
    histograms: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """How many there were."""
        return sum(self.decisions.values())


class DecisionLog:
    """A log's file, which is made if it is not there.

    May be used from several threads and processes at once, and after a fork.

    Args:
        path: Of the SQLite database.

    Raises:
        OSError: It cannot be opened or written.
        ValueError: It is no log of ours, or of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        raise NotImplementedError

    def close(self) -> None:
        """Close all connections; the next use opens them again."""

    def append(
        self, kind: Kind, *, time: str | datetime | None = None, **fields: Any
    ) -> Row:
        """Write a row. When this returns, a kill of the process does not lose it.

        Args:
            kind: What happened.
            time: UTC; by default now.
            fields: The others of :class:`Row` except ``id`` and ``hash``.

        Raises:
            OSError: It cannot be written: nothing of it is there.
            ValueError: A field is unknown, or of a type that it has not.
        """
        raise NotImplementedError

    def append_many(self, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Write rows, all or none, in one transaction.

        Args:
            rows: Of each ``kind`` and what else :meth:`append` takes.
        """
        raise NotImplementedError

    def rows(
        self,
        *,
        kind: Kind | None = None,
        image: str | None = None,
        version: str | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        defect: str | None = None,
        newest: bool = False,
        limit: int | None = None,
    ) -> Iterator[Row]:
        """Rows in their order, of those that are there when it begins.

        Args:
            kind: Only of this.
            image: Only of this hash.
            version: Only of this one.
            since: Not before this time; UTC, ``'2026-11-30'`` means its midnight.
            until: Before this time.
            defect: Only with this among ``kinds``.
            newest: The newest first.
            limit: At most so many.
        """
        raise NotImplementedError

    def count(self, **filters: Any) -> int:
        """How many rows there are; arguments as for :meth:`rows`."""
        raise NotImplementedError

    def verify(self, *, head: Mapping[str, Any] | None = None) -> Verified:
        """Read all rows, and say the first that is changed, missing, moved or added.

        Args:
            head: ``id`` and ``hash`` of a row that was there: shows a cut tail.

        Raises:
            OSError, ValueError: The file cannot be read at all.
        """
        raise NotImplementedError

    def days(self) -> list[Day]:
        """What is kept by day, version and product, in this order: reads no rows."""
        raise NotImplementedError

    def rebuild(self) -> None:
        """Derive all that is derived from the rows anew."""
        raise NotImplementedError
