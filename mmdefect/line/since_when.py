"""Since when a kind of defect is overlooked, by the log alone: nothing is replayed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmdefect.deploy.package import is_package, read_package
from mmdefect.line.row import COLUMNS, row_of
from mmdefect.line.truth import shows
from mmdefect.line.verdicts import standing
from mmdefect.utils.checks import check_known, visible

if TYPE_CHECKING:
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row

FOUND, OTHER, MISSED = 'found', 'called otherwise', 'overlooked'
NEITHER = 'not decided'
"""What a decision was: the kind was found; only others were; nothing was; nothing was
decided, as of an unknown product or an error. Second and third overlook the kind."""

#: Decisions on those of some images (hashes, in JSON) that a verdict has called a miss
#: of the kind, by version and by what they were. What models of maps find is of no
#: kind: it is any.
KIND_SQL = f"""WITH shown AS MATERIALIZED (SELECT value AS image FROM json_each(?))
SELECT log.version, CASE
        WHEN defects.id IS NOT NULL THEN '{FOUND}'
        WHEN log.decision = 'defective' THEN CASE json_extract(log.body, '$.task')
            WHEN 'maps' THEN '{FOUND}' ELSE '{OTHER}' END
        WHEN log.decision = 'ok' THEN '{MISSED}' ELSE '{NEITHER}' END AS state,
    COUNT(*), COUNT(DISTINCT log.image), MIN(log.id), MAX(log.id)
FROM shown CROSS JOIN log INDEXED BY log_image ON log.image = shown.image
LEFT JOIN defects ON defects.defect = ? AND defects.id = log.id
WHERE log.kind = 'decision' AND shown.image IN (
    SELECT log.image
    FROM defects INDEXED BY defects_kind CROSS JOIN log ON log.id = defects.id
    WHERE defects.defect = ? AND defects.kind = 'verdict'
        AND defects.kind <> 'decision' AND log.decision IN ('missed', 'wrong kind'))
GROUP BY log.version, state ORDER BY MIN(log.id)
"""  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class KindCount:
    """What a version has decided on the images that are confirmed misses of a kind.

    Attributes:
        version: Its name.
        state: One of :data:`FOUND`, :data:`OTHER`, :data:`MISSED`, :data:`NEITHER`.
        decisions: How many.
        images: On how many images.
        first: The first of them.
        last: The last.
        is_there: Whether the package of the version is still there.
    """

    version: str | None
    state: str
    decisions: int
    images: int
    first: Row
    last: Row
    is_there: bool


@dataclass(frozen=True, kw_only=True)
class KindHistory:
    """What the log says about a kind of defect.

    Attributes:
        kind: Its name.
        confirmed: Images that show it by their newest verdicts, whatever was decided.
        counts: By version, in the order of their first decision.
    """

    kind: str
    confirmed: int
    counts: tuple[KindCount, ...] = ()

    @property
    def first_overlooked(self) -> Row | None:
        """The first decision that overlooked it."""
        return min(self._of(OTHER, MISSED, 'first'), key=_by_id, default=None)

    @property
    def last_found(self) -> Row | None:
        """The last decision that found it, on the same images."""
        return max(self._of(FOUND, FOUND, 'last'), key=_by_id, default=None)

    def _of(self, one: str, other: str, which: str) -> list[Row]:
        return [getattr(c, which) for c in self.counts if c.state in (one, other)]


def since_when_kind(line: Line, kind: str) -> KindHistory:
    """Since when a kind is overlooked, by the verdicts; nothing is replayed.

    Takes the images that a verdict called missed (or of the wrong kind) as this kind,
    unless a later verdict takes it back, and all decisions on the same images before
    and after: what was found once and is not now was lost on the way.

    Args:
        line: Whose log.
        kind: A kind of defect; of maps ``'anomaly'``, or as verdicts called it.

    Raises:
        ValueError: Neither a decision nor a verdict names it.
    """
    shown = [row.image for row in standing(line.log) if shows(row, kind)]
    rows = line.log.select(KIND_SQL, (json.dumps(shown), kind, kind))
    if not shown and next(line.log.rows(defect=kind, limit=1), None) is None:
        check_kind(line, kind)
    counts = [
        KindCount(
            version=version,
            state=state,
            decisions=decisions,
            images=images,
            first=_row(line, first),
            last=_row(line, last),
            is_there=(line.versions_dir / str(version)).is_dir(),
        )
        for version, state, decisions, images, first, last in rows
    ]
    return KindHistory(kind=kind, confirmed=len(shown), counts=tuple(counts))


def _by_id(row: Row) -> int:
    return row.id


def _row(line: Line, number: int) -> Row:
    columns = ', '.join(COLUMNS)
    statement = f'SELECT {columns} FROM log WHERE id = ?'  # noqa: S608
    return row_of(line.log.select(statement, (number,))[0])


def check_kind(line: Line, kind: str, *, what: str = '--kind') -> None:
    """Name near matches of what nobody knows; ``what`` asks for it.

    Raises:
        ValueError: It is no class of a version either.
    """
    found = line.log.select('SELECT DISTINCT defect FROM defects')
    known = [name for (name,) in found]
    for version in sorted(line.versions_dir.glob('v*/')):
        known += _classes(version)
    if not known:
        raise ValueError(
            f'{what} {visible(kind)}: {line.folder} has had no version yet, and its '
            'log names no kind: expected decisions; promote a package, and let it '
            'decide with `mmdefect predict --line`'
        )
    check_known([kind], [*dict.fromkeys(known)], what=what)


def _classes(package: Path) -> Sequence[str]:
    return read_package(package).spec.classes if is_package(package) else ()
