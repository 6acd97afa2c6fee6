"""Which rows of a log are asked for, in SQL that its indices answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from mmdefect.line.row import Kind, utc
from mmdefect.utils.checks import check_choice


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Rows that meet all that is given.

    Args:
        kind: Of this.
        image: Of this hash.
        version: Of this one.
        since: Not before this time; UTC, ``'2026-11-30'`` means its midnight.
        until: Before this time.
        defect: With this among ``kinds``.

    Raises:
        ValueError: There is no such kind, or a time is none.
    """

    kind: Kind | None = None
    image: str | None = None
    version: str | None = None
    since: str | datetime | None = None
    until: str | datetime | None = None
    defect: str | None = None

    def __post_init__(self) -> None:
        if self.kind is not None:
            check_choice('kind', self.kind, get_args(Kind))
        for name in ('since', 'until'):
            time = getattr(self, name)
            if time is not None:
                object.__setattr__(self, name, utc(time, name))

    @property
    def id(self) -> str:
        """The column by which rows are put in order."""
        return 'log.id' if self.defect is None else 'defects.id'

    @property
    def tables(self) -> str:
        """Where they are looked up."""
        if self.defect is None:
            return 'log'
        # In this order: a kind of defect is rarer than a row.
        return 'defects CROSS JOIN log ON log.id = defects.id'

    def where(self) -> tuple[str, list[Any]]:
        """The condition and its values."""
        table = self.tables.split()[0]
        values: dict[str, list[Any]] = {
            'defects.defect = ?': [self.defect],
            'log.image = ?': [self.image],
            'log.version = ?': [self.version],
            f'{table}.kind = ?{self._rare(table)}': [self.kind],
            self._near('MIN', '>='): [self.since, self.since],
            self._near('MAX', '<'): [self.until, self.until],
        }
        given = {part: one for part, one in values.items() if one[0] is not None}
        return ' AND '.join(given) or 'TRUE', [v for one in given.values() for v in one]

    def _rare(self, table: str) -> str:
        """By which SQLite sees that the index without decisions will do."""
        if self.kind == 'decision' or self.image is not None:  # few are of an image
            return ''
        return f" AND {table}.kind <> 'decision'"

    @staticmethod
    def _near(edge: str, sign: str) -> str:
        """Ids, then times: rows stand by their ids, the clock goes with them mostly."""
        found = f'(SELECT {edge}(id) FROM log WHERE time {sign} ?)'  # noqa: S608
        return f'log.id {sign[0]}= {found} AND +log.time {sign} ?'
