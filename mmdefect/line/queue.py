"""What a person has to look at: a file an image, the oldest first."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.line.lock import alone
from mmdefect.line.queue_entry import FILE, SHORTEST, UNREAD, Entry, read_entry
from mmdefect.line.settings import QueueRule
from mmdefect.utils.checks import name_some, some_of, visible
from mmdefect.utils.files import file_sha256, write_json

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row

#: Boxes near their threshold that are named, the nearest first.
_NAMED = 3
#: What a note in the log is about.
DISMISSED = 'dismissed'


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


def detail_of(prediction: Prediction, rule: QueueRule, reason: str) -> str | None:
    """What a person has to look at, in words.

    Args:
        prediction: What was decided.
        rule: Of the line.
        reason: What :func:`consider` has said of it.

    Returns:
        Why it could not be looked at; which boxes are near their threshold, the nearest
        first: kind, score, threshold, x1, y1, x2, y2 in pixels. None where the score of
        the image says it.
    """
    if reason == 'error':
        return prediction.error
    if reason != 'margin' or prediction.task != 'boxes':
        return None
    scores, thresholds = prediction.scores.tolist(), prediction.thresholds.tolist()
    given = zip(scores, thresholds, prediction.names, prediction.boxes, strict=True)
    near = [one for one in given if _is_near(*one[:2], rule.margin)]
    near.sort(key=lambda one: abs(one[0] - one[1]) / (abs(one[1]) or 1))
    return some_of(
        [
            f'{name} {score:.3g} of {threshold:.3g} at '
            + ' '.join(f'{side:.0f}' for side in box)
            for score, threshold, name, box in near
        ],
        _NAMED,
    )


def _is_near(score: float | None, threshold: float | None, margin: float) -> bool:
    if score is None or threshold is None:
        return False
    # Scores are of float32: what is exactly at the margin is within it.
    return abs(score - threshold) <= (margin + 1e-6) * abs(threshold)


def enqueue(line: Line, row: Row, reason: str, detail: str | None = None) -> bool:
    """Put the image of a decision into ``queue/``, once however often it is seen.

    Its picture is kept already. Entries are called ``<image>.json``, with ``-`` for the
    colon of ``pixels:``; see :meth:`mmdefect.line.folder.Line.is_queued`.

    Args:
        line: That it belongs to.
        row: The decision.
        reason: What :func:`consider` has said of it.
        detail: What :func:`detail_of` has.

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
        own: dict[str, Any] = {
            'image': image,
            'reason': reason,
            'row': row.id,
            'detail': detail,
        }
        same = {one.name for one in fields(Entry)} - own.keys()
        known = {name: getattr(row, name) for name in sorted(same)}
        write_json(path, asdict(Entry(**own, **known)))
    return True


def entries(line: Line, *, limit: int | None = None) -> list[Entry]:
    """What waits, the oldest first; before them entries that are damaged.

    Args:
        line: Whose queue.
        limit: At most so many.
    """
    found = [*filter(None, map(read_entry, _files(line)))]
    found.sort(key=lambda one: (one.row, one.image))
    return found[:limit]


def find(line: Line, given: str) -> Entry:
    """The one that waits by its hash or digits of it, or by what it was called.

    Raises:
        ValueError: None waits that is called so, or several do.
    """
    waiting = entries(line)
    there = os.path.isfile(given)  # noqa: PTH113  # no error where it may not be asked
    meant = file_sha256(given) if there else given
    found = [one for one in waiting if one.image == meant] or [
        one for one in waiting if _is_called(one, given)
    ]
    if len(found) != 1:
        several = [f'{one.source} {one.image}' for one in found]
        fits = f'fits {name_some(several)}' if found else 'is not in the queue'
        raise ValueError(
            f"'{visible(given)}' {fits}: expected one image that waits, by its hash or "
            'its name; see `mmdefect line queue`'
        )
    return found[0]


def _is_called(one: Entry, given: str) -> bool:
    digits = one.image.rpartition(':')[2]
    if len(given) >= SHORTEST and (one.image.startswith(given) or digits == given):
        return True
    source = one.source or ''
    return source in (given, str(Path(given).absolute())) or source.endswith(
        f'/{given}'
    )


def count(line: Line) -> int:
    """How many wait; no file is read."""
    return sum(1 for _ in _files(line))


def is_full(line: Line) -> bool:
    """Whether no more are taken."""
    return count(line) >= line.settings.queue.limit


def has_room(line: Line, image: str | None) -> bool:
    """Whether an image, by its hash, waits already or would be taken."""
    waits = image is not None and path_of(line, image).exists()
    return waits or not is_full(line)


def dismiss(line: Line, entry: Entry, *, by: str | None = None) -> Row:
    """Take an image out of the queue without a verdict: that is written down first.

    Args:
        line: Whose queue.
        entry: Of the image.
        by: Who says so.

    Returns:
        The row of the log.
    """
    body = {'what': DISMISSED, 'queued': entry.reason}
    body |= {'why': entry.detail} if entry.detail else {}
    row = line.log.append(
        'note',
        version=entry.version,
        image=None if entry.image.startswith(UNREAD) else entry.image,
        source=entry.source,
        product=entry.product,
        body=body | ({'by': by} if by else {}),
    )
    done(line, entry.image)
    return row


def done(line: Line, image: str) -> bool:
    """Take an image out of the queue, by its hash; whether it was there."""
    path = path_of(line, image)
    there = FILE.fullmatch(path.name) is not None and path.exists()
    if not there:
        return False
    path.unlink(missing_ok=True)
    return there


def sweep(line: Line) -> None:
    """Remove drafts of entries that a kill has left."""
    found = line.queue_dir.glob('*.json.tmp')
    drafts = [path for path in found if FILE.fullmatch(path.stem)]
    if drafts:
        with alone(line.queue_dir):
            for draft in drafts:
                draft.unlink(missing_ok=True)


def path_of(line: Line, image: str) -> Path:
    """Where the entry of an image is, or would be."""
    return line.queue_dir / f'{image.replace(":", "-")}.json'


def _of_source(source: str | None) -> str:
    name = (source or '').encode('utf-8', 'surrogatepass')
    return f'{UNREAD}{hashlib.sha256(name).hexdigest()}'


def _files(line: Line) -> Iterator[Path]:
    with os.scandir(line.queue_dir) as found:
        yield from (Path(one.path) for one in found if FILE.fullmatch(one.name))
