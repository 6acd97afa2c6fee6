"""Which decided image is meant: by its file, hash or source, or its name alone."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.deploy.decision import failed
from mmdefect.deploy.sources import image_of
from mmdefect.line.images import Picture, is_of
from mmdefect.line.queue_entry import SHORTEST, UNREAD
from mmdefect.utils.checks import check_choice, check_type, name_some, visible
from mmdefect.utils.files import file_sha256

if TYPE_CHECKING:
    from mmdefect.apis.inferencer import DefectInferencer
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line
    from mmdefect.line.log import DecisionLog, Row

VERDICTS = ('confirmed', 'false alarm', 'missed', 'wrong kind')
"""What can be said of a decision; :func:`mmdefect.line.truth.truth_of` says what each
means."""
_HASH = re.compile(rf'(pixels:)?[0-9a-f]{{{SHORTEST},64}}')
_CURE = 'give its file, or the hash that `mmdefect line log --json` shows'


def verdict_of(text: str) -> str:
    """One of :data:`VERDICTS`, as the log or the command line spells it.

    Raises:
        ValueError: It is none.
    """
    spelled = {spelled_out(one): one for one in VERDICTS}
    check_type('verdict', text, str, expected=f'one of {", ".join(spelled)}')
    check_choice('verdict', spelled_out(text), spelled)
    return spelled[spelled_out(text)]


def spelled_out(verdict: str) -> str:
    """A verdict as the command line has it, e.g. ``'false-alarm'``."""
    return verdict.replace(' ', '-')


def find_decision(log: DecisionLog, image: str | Path) -> Row:
    """The newest decision on an image.

    Args:
        log: Of the line.
        image: An image file, which is known by its bytes; else a hash as the log has
            it, of which the first 8 digits will do; else what it was called when it was
            decided on, with its folders or without.

    Raises:
        ValueError: There is no decision on it, or the name fits several images.
    """
    check_type('image', image, str | Path, expected='a file, a hash or a name')
    name = str(image)
    if name.startswith(UNREAD):
        raise _never_read(name)
    if os.path.isfile(name):  # noqa: PTH113  # no error where it may not be asked
        return _of_file(log, Path(image))
    found = _hashed(log, name) if _HASH.fullmatch(name) else []
    found = found or _named(log, name)
    if not found:
        _refuse_never_read(log, name)
    if len(found) != 1:
        fits = f'fits {name_some([_told(*one) for one in found])}'
        raise ValueError(
            f"image='{visible(name)}' {fits if found else 'is no image of the log'}: "
            f'expected one that was decided on; {_CURE}'
        )
    return next(log.rows(kind='decision', image=found[0][0], newest=True, limit=1))


def newest_verdict(log: DecisionLog, image: str) -> Row | None:
    """What was said last of an image, by its hash; None if nothing was."""
    return _newest(log, image, 'verdict')


def replaced_by(log: DecisionLog, row: Row) -> Row | None:
    """The verdict in whose place a newer one of the same image has come; or None."""
    found = log.rows(kind='verdict', image=row.image, newest=True)
    return next((one for one in found if one.id < row.id), None)


def words_of(row: Row) -> str:
    """A decision or a verdict in a few words, e.g. ``'missed dent, crack'``."""
    return ' '.join(filter(None, [row.decision, ', '.join(row.kinds)]))


def picture_of(line: Line, image: str | None, source: str | None) -> Picture | None:
    """An image that was decided on, unchanged; None if it is gone.

    Kept by the line, or still where it came from.

    Args:
        line: That has decided.
        image: Its hash; None of one that could not be read.
        source: Where it came from.

    Raises:
        OSError: What the line has kept cannot be read, and its source is gone.
        ValueError: What the line has kept was changed, and its source is gone.
    """
    if image is None:
        return None
    try:
        kept = line.images.read(image)
    except (OSError, ValueError):
        if (found := unchanged(Path(source or ''), image)) is None:
            raise
        return found
    return kept or unchanged(Path(source or ''), image)


def unchanged(path: Path, image: str) -> Picture | None:
    """A file that is the image of a hash; None if it is another, none, or closed."""
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError:
        return None
    return Picture(path, data) if data is not None and is_of(data, image) else None


def refuse_unreadable(line: Line, decision: Row, given: str | Path) -> None:
    """Refuse a verdict on what is no picture: nothing could be learned of it.

    An image on which the model has failed may well be one.

    Raises:
        ValueError: It cannot be decoded.
    """
    if 'error' not in decision.body:
        return
    with suppress(OSError):  # then nobody knows
        image = str(decision.image)
        found = unchanged(Path(given), image)
        found = found or picture_of(line, image, decision.source)
        if found is None:
            return
        try:
            image_of(found.data, found.path, bits=16)
        except ValueError:
            raise _never_read(str(decision.source)) from None


def looked_at(model: DefectInferencer, picture: Picture) -> Prediction:
    """What a model says of a picture, of the very content that was compared."""
    source = str(picture.path)
    try:
        pixels = image_of(picture.data, source, bits=model.bits)
    except ValueError as error:
        return failed(str(error), model.spec, source=source)
    return replace(model.predict_one(pixels), source=source)


def _newest(log: DecisionLog, image: str, kind: Any) -> Row | None:
    return next(log.rows(kind=kind, image=image, newest=True, limit=1), None)


def _of_file(log: DecisionLog, path: Path) -> Row:
    digest = file_sha256(path)
    if (found := _newest(log, digest, 'decision')) is not None:
        return found
    alike = [_told(*one) for one in _named(log, path.name)]
    if not alike:
        _refuse_never_read(log, path.name)
    others = f' (of its name are {name_some(alike)})' if alike else ''
    raise ValueError(
        f'{visible(str(path))} of SHA-256 {digest[:SHORTEST]} is no image of the log'
        f'{others}: expected one that was decided on; {_CURE}'
    )


def _hashed(log: DecisionLog, name: str) -> list[Any]:
    """Images whose hash begins so: hash and one of their sources."""
    return log.select(
        'SELECT image, MAX(source) FROM log WHERE image >= ? AND image < ? '
        "AND kind = 'decision' GROUP BY image",
        (name, f'{name}g'),  # behind the last digit
    )


def _named(log: DecisionLog, name: str) -> list[Any]:
    """Images that were called so, or so behind a slash: the newest first.

    Reads the log through: an index would cost each decision more than it saves here.
    """
    plain = name.encode('utf-8', 'backslashreplace').decode()
    found = log.select(
        "SELECT image, source, MAX(id) FROM log WHERE kind = 'decision' AND "
        '(source = ? OR substr(source, ?) IN (?, ?)) AND +image IS NOT NULL '
        'GROUP BY +image ORDER BY MAX(id) DESC',
        (plain, -len(plain) - 1, f'/{plain}', f'\\{plain}'),
    )
    exact = [one[:2] for one in found if one[1] == plain]
    return exact or [one[:2] for one in found]


def _refuse_never_read(log: DecisionLog, name: str) -> None:
    """Say of a file that could not be read what can be done about it.

    Raises:
        ValueError: It is one.
    """
    plain = name.encode('utf-8', 'backslashreplace').decode()
    found = log.select(
        "SELECT id FROM log WHERE kind = 'decision' AND image IS NULL AND "
        '(source = ? OR substr(source, ?) IN (?, ?)) LIMIT 1',
        (plain, -len(plain) - 1, f'/{plain}', f'\\{plain}'),
    )
    if found:
        raise _never_read(name)


def _never_read(name: str) -> ValueError:
    return ValueError(
        f"'{visible(name)}' could not be read when it was its turn: expected an image "
        'that was looked at, for a verdict; take it out of the queue with `mmdefect '
        'line queue LINE --dismiss`, or with 5 on the page'
    )


def _told(image: str, source: str | None) -> str:
    return f'{source}, {image}'
