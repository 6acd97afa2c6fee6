"""Since when an image is overlooked: all versions of a line look at it again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from mmdefect.deploy.package import read_package
from mmdefect.line.decided import (
    find_decision,
    looked_at,
    newest_verdict,
    picture_of,
)
from mmdefect.line.images import Picture, image_hash
from mmdefect.line.opening import open_version
from mmdefect.line.since_when import FOUND, MISSED, NEITHER, OTHER
from mmdefect.line.versions import switches
from mmdefect.utils.checks import visible

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row


@dataclass(frozen=True, kw_only=True)
class Period:
    """A time in which one version was in use.

    Attributes:
        version: Its name.
        since: When it was promoted, or gone back to, UTC.
        until: When another took its place; None if it is still in use.
        first: The row of the log with which it began.
        end: The row with which it ended; the order of rows holds whatever the clock
            did.
    """

    version: str
    since: str
    until: str | None = None
    first: int = field(default=0, compare=False)
    end: int | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What a version says of an image.

    Attributes:
        period: When it was in use.
        state: As of :class:`KindCount`; None if it cannot look.
        prediction: What it says; None if it cannot look.
        lacks: Why it cannot: its package is gone, or damaged.
        decided: What it has decided on this image, by the log, each with its number.
    """

    period: Period
    state: str | None
    prediction: Prediction | None = None
    lacks: str | None = None
    decided: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ImageHistory:
    """What all versions of a line say of an image.

    Attributes:
        image: Its hash.
        path: Where it lies.
        kind: The kind that is looked for; None for any defect.
        replays: One a time in which a version was in use, in order.
    """

    image: str
    path: Path
    kind: str | None
    replays: tuple[Replay, ...] = ()

    @property
    def is_looked_at(self) -> bool:
        """Whether any version could look at it at all."""
        said = [one.prediction for one in self.replays]
        return any(one is not None and one.error is None for one in said)

    @property
    def overlooked(self) -> list[Period]:
        """From when to when it was overlooked; neighbours are put together.

        The version is that with which it began.
        """
        found: list[Period] = []
        before = None
        for one in self.replays:
            if one.state in (OTHER, MISSED):
                begun = found.pop() if before in (OTHER, MISSED) else one.period
                found.append(replace(begun, until=one.period.until, end=one.period.end))
            before = one.state
        return found


def since_when_image(
    line: Line, image: str | Path, *, kind: str | None = None
) -> ImageHistory:
    """Since when an image is overlooked: every version of the line looks at it again.

    Args:
        line: With its versions.
        image: A file, which need not be known to the line; else what
            :func:`mmdefect.line.decided.find_decision` takes.
        kind: That has to be found; by default what the newest verdict of the image
            names, or any defect.

    Raises:
        FileNotFoundError: The image is gone, or the line has had no version.
        ValueError: The image is not known, or cannot be read.
    """
    periods = periods_of(line)
    if not periods:
        raise FileNotFoundError(
            f'{line.folder} has had no version yet: expected one that was promoted; '
            'give it a package with `mmdefect line promote`'
        )
    picture, digest, product = _file_of(line, image)
    verdict = newest_verdict(line.log, digest)
    if kind is None and verdict is not None and verdict.decision != 'false alarm':
        kind = next(iter(verdict.kinds), None)
    said: dict[str, tuple[Prediction | None, str | None]] = {}
    for one in periods:
        if one.version not in said:  # a version that was gone back to looks once
            said[one.version] = _look(line, one.version, picture, product)
    replays = [
        Replay(
            period=one,
            state=_state(said[one.version][0], kind),
            prediction=said[one.version][0],
            lacks=said[one.version][1],
            decided=_decided(line, digest, one),
        )
        for one in periods
    ]
    return ImageHistory(
        image=digest, path=picture.path, kind=kind, replays=tuple(replays)
    )


def periods_of(line: Line) -> list[Period]:
    """When which version was in use, by the log, the first one first."""
    rows = [*line.log.rows(kind='promotion'), *line.log.rows(kind='rollback')]
    changes = sorted(filter(switches, rows), key=lambda row: row.id)
    return [
        Period(
            version=str(row.version),
            since=row.time,
            until=None if after is None else after.time,
            first=row.id,
            end=None if after is None else after.id,
        )
        for row, after in zip_longest(changes, changes[1:])
    ]


def decisions_in(line: Line, period: Period) -> int:
    """How many decisions were made in a time, on whatever image."""
    query = "SELECT COUNT(*) FROM log WHERE kind = 'decision' AND id BETWEEN ? AND ?"
    last = (1 << 63) - 1 if period.end is None else period.end
    ((number,),) = line.log.select(query, (period.first, last))
    return int(number)


def _file_of(line: Line, image: str | Path) -> tuple[Picture, str, str | None]:
    """An image, its hash, and its product if that was told or seen."""
    row: Row | None
    if Path(image).is_file():
        given = Picture(Path(image), Path(image).read_bytes())
        digest = str(image_hash(given.data, None))
        rows = line.log.rows(image=digest, newest=True, limit=1)
        row = next(rows, None)
        return given, digest, None if row is None else row.product
    row = find_decision(line.log, image)
    found = picture_of(line, row.image, row.source)
    if found is None:
        raise FileNotFoundError(
            f'the image {visible(str(row.source))} ({row.image}) is gone, as '
            f'keep_images={line.settings.keep_images!r} keeps no picture of it: '
            'expected its file, to look at it again; give that'
        )
    return found, str(row.image), row.product


def _look(
    line: Line, version: str, picture: Picture, product: str | None
) -> tuple[Prediction | None, str | None]:
    """What a version says of an image, or why it cannot look."""
    if not (line.versions_dir / version).is_dir():
        return None, 'its package is gone'
    try:
        folder = line.package(version)
        spec = read_package(folder).spec
    except (OSError, ValueError) as error:  # the others can look all the same
        return None, str(error)
    # A model that recognises products does so here as it did then.
    told = product if product in spec.classes and not spec.routes else None
    model = open_version(folder, product=told if spec.task == 'maps' else None)
    return looked_at(model, picture), None


def _state(prediction: Prediction | None, kind: str | None) -> str | None:
    if prediction is None:
        return None
    if prediction.decision == 'defective':
        named = prediction.kinds  # of maps none
        return FOUND if kind is None or kind in named or not named else OTHER
    return MISSED if prediction.decision == 'ok' else NEITHER


def _decided(line: Line, image: str, period: Period) -> dict[str, int]:
    found = line.log.select(
        'SELECT decision, COUNT(*) FROM log WHERE image = ? AND version = ? AND kind = '
        "'decision' GROUP BY decision",
        (image, period.version),
    )
    return dict(found)
