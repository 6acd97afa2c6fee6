"""What a person has to look at: a file an image, the oldest first."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from mmdefect.line.settings import QueueRule
from mmdefect.utils.files import write_json
from mmdefect.utils.text_files import read_json

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row

UNREAD = 'unread:'
"""Before the hash of the source where there is no image that has one."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An image that waits for a verdict.

    Attributes:
        image: Its hash, as in the log; of one that could not be read at all
            :data:`UNREAD` and the hash of its source.
        reason: Of :func:`consider`.
        row: Of the decision that put it here, by its id.
        time: Of that decision.
        source, version, product, decision, score, threshold, kinds: Of it, too; see
            :class:`mmdefect.line.log.Row`.
    """

    image: str
    reason: str
    row: int
    time: str
    source: str | None = None
    version: str | None = None
    product: str | None = None
    decision: str | None = None
    score: float | None = None
    threshold: float | None = None
    kinds: tuple[str, ...] = ()


def consider(prediction: Prediction, rule: QueueRule) -> str | None:
    """Why a person has to look at a result, if one of these holds.

    The first that holds is given:

    1. error: the image could not be read, or the model could not look at it.
    2. unknown product: a model of maps knows no product like it.
    3. margin: the score of the image, or of one of its boxes, is near to the threshold
       it is compared with: no further from it than a tenth of the threshold.

    In line.json, queue.margin is that tenth, queue.unknown_product switches 2 off, and
    queue.limit is how many images wait at most: when it is reached, later ones are not
    taken until some are done. An image that has a verdict is not put there again.

    Args:
        prediction: What was decided.
        rule: Of the line.

    Returns:
        ``'error'``, ``'unknown product'`` or ``'margin'``; None if nobody has to.
    """
    if prediction.error is not None:
        return 'error'
    if prediction.decision == 'unknown product':
        return 'unknown product' if rule.unknown_product else None
    pairs: Iterable[tuple[float | None, float | None]]
    pairs = [(prediction.score, prediction.threshold)]
    if prediction.task == 'boxes':
        both = (prediction.scores.tolist(), prediction.thresholds.tolist())
        pairs = zip(*both, strict=True)
    near = any(_is_near(*pair, rule.margin) for pair in pairs)
    return 'margin' if near else None


def _is_near(score: float | None, threshold: float | None, margin: float) -> bool:
    if score is None or threshold is None:
        return False
    # Scores are of float32: what is exactly at the margin is within it.
    return abs(score - threshold) <= (margin + 1e-6) * abs(threshold)


def enqueue(line: Line, row: Row, reason: str) -> bool:
    """Put the image of a decision into ``queue/``, once however often it is seen.

    Its picture is kept already. Entries are called ``<image>.json``, with ``-`` for the
    colon of ``pixels:``; see :meth:`mmdefect.line.folder.Line.is_queued`.

    Args:
        line: That it belongs to.
        row: The decision.
        reason: What :func:`consider` has said of it.

    Returns:
        Whether it waits there now: not if it has a verdict, or the queue is full.

    Raises:
        OSError: It cannot be written.
    """
    image = row.image or _of_source(row.source)
    path = path_of(line, image)
    if path.exists():
        return True
    if row.image and line.log.count(kind='verdict', image=row.image):
        return False
    with alone(line.queue_dir):
        if is_full(line):
            return False
        same = {one.name for one in fields(Entry)} - {'image', 'reason', 'row'}
        known = {name: getattr(row, name) for name in sorted(same)}
        write_json(path, asdict(Entry(image=image, reason=reason, row=row.id, **known)))
    return True


def entries(line: Line, *, limit: int | None = None) -> list[Entry]:
    """What waits, the oldest first.

    Args:
        line: Whose queue.
        limit: At most so many.

    Raises:
        ValueError: A file is none of ours.
    """
    found = [*filter(None, map(_read, _files(line)))]
    found.sort(key=lambda one: (one.row, one.image))
    return found[:limit]


def count(line: Line) -> int:
    """How many wait; no file is read."""
    return sum(1 for _ in _files(line))


def is_full(line: Line) -> bool:
    """Whether no more are taken."""
    return count(line) >= line.settings.queue.limit


def done(line: Line, image: str) -> bool:
    """Take an image out of the queue, by its hash; whether it was there."""
    path = path_of(line, image)
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


def sweep(line: Line) -> None:
    """Remove drafts of entries that a kill has left."""
    drafts = [*line.queue_dir.glob('*.tmp')]
    if drafts:
        with alone(line.queue_dir):
            for draft in drafts:
                draft.unlink(missing_ok=True)


def path_of(line: Line, image: str) -> Path:
    """Where the entry of an image is, or would be."""
    return line.queue_dir / f'{image.replace(":", "-")}.json'


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other thread or process is in this block, for milliseconds."""
    import fcntl

    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def _of_source(source: str | None) -> str:
    name = (source or '').encode('utf-8', 'surrogatepass')
    return f'{UNREAD}{hashlib.sha256(name).hexdigest()}'


def _files(line: Line) -> Iterator[Path]:
    with os.scandir(line.queue_dir) as found:
        yield from (Path(one.path) for one in found if one.name.endswith('.json'))


def _read(path: Path) -> Entry | None:
    try:
        content = read_json(path, 'entry of the queue')
    except FileNotFoundError:  # done meanwhile
        return None
    try:
        content['kinds'] = tuple(content['kinds'])
        return Entry(**content)
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is not as mmdefect wrote it ({error}): expected an image that '
            'waits for a verdict; remove the file'
        ) from None
