"""What waits for a verdict, one image at a time, and the verdict itself."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdefect.app import actions
from mmdefect.app.desk import Desk
from mmdefect.deploy.decision import failed
from mmdefect.deploy.result import Prediction
from mmdefect.line import queue
from mmdefect.line.decided import (
    looked_at,
    newest_verdict,
    picture_of,
    replaced_by,
    spelled_out,
    words_of,
)
from mmdefect.line.queue_entry import DAMAGED, UNREAD
from mmdefect.line.verdicts import VERDICTS, give

if TYPE_CHECKING:
    from mmdefect.apis.inferencer import DefectInferencer
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Row
    from mmdefect.line.queue_entry import Entry

NOTHING = '<p class="big">Nothing waits for a verdict.</p>'
_REASONS = {
    'error': 'it could not be read or looked at',
    DAMAGED: 'its entry in the queue is damaged',
    'margin': 'its score is near to the threshold',
    'unknown product': 'it shows no product that the model knows',
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """An image of the queue as the page shows it.

    Attributes:
        image: Its hash.
        said: Why it waits and what was decided, as HTML.
        picture: ``(h, w, 3)``, RGB, drawn.
        size: Width and height of the original.
        classes: Kinds that the version knows.
        verdict: Row of the newest verdict on it, by its id; 0 if there is none.
    """

    image: str
    said: str
    picture: np.ndarray
    size: tuple[int, int]
    classes: tuple[str, ...]
    verdict: int = 0


def opened(desk: Desk, image: str | None = None, *, step: int = 0) -> Shown | None:
    """An image of the queue; None where nothing waits.

    Args:
        desk: Of a line.
        image: Hash of the one to count from; the oldest if it waits no longer.
        step: So many further; it ends at both ends.
    """
    waiting = queue.entries(line_of(desk))
    if not waiting:
        return None
    at = next((n for n, one in enumerate(waiting) if one.image == image), None)
    at = 0 if at is None else min(max(at + step, 0), len(waiting) - 1)
    entry = waiting[at]
    try:
        model = desk.model(entry.version)
    except (OSError, ValueError, RuntimeError) as error:  # and there are others
        result = Prediction(source=str(entry.source), task='maps', error=str(error))
        classes: tuple[str, ...] = ()
    else:
        result = _looked(desk, entry, model)
        classes = () if result.task == 'maps' else model.spec.classes
    verdict = newest_verdict(line_of(desk).log, entry.image)
    return Shown(
        image=entry.image,
        said=_said(entry, at, len(waiting), result.error),
        picture=actions.drawn(result),
        size=result.size if result.error is None else (1, 1),
        classes=classes,
        verdict=0 if verdict is None else verdict.id,
    )


def judged(desk: Desk, image: str, known: Container[int]) -> Row | None:
    """What somebody has said of an image since it was shown.

    Args:
        desk: Of a line.
        image: Hash of the image.
        known: Rows of verdicts that were there when it was shown, or are of this page.
    """
    row = newest_verdict(line_of(desk).log, image)
    return None if row is None or row.id in known else row


def news(row: Row) -> str:
    """What :func:`judged` has found, in a sentence."""
    who = f' by {row.body["by"]}' if row.body.get('by') else ''
    return (
        f'{Path(row.source or "").name} was judged meanwhile: {words_of(row)}{who}, '
        f'row {row.id}. Press again to replace that, or go on'
    )


def decided(
    desk: Desk,
    image: str,
    verdict: str,
    *,
    kind: str | None = None,
    new_kind: bool = False,
    box: str = '',
    by: str | None = None,
) -> tuple[Row, Shown | None]:
    """Write a verdict down, and open what waits after it.

    Args:
        desk: Of a line.
        image: Hash of the image.
        verdict: One of :data:`VERDICTS`.
        kind: Of the defect; see :func:`mmdefect.line.verdicts.give`.
        new_kind: Whether the model may not know it.
        box: Where it is, as :func:`.actions.box_of` reads it.
        by: Who says it.

    Returns:
        Its row, and what is open then.

    Raises:
        ValueError: The box is none, or the verdict does not fit the decision.
    """
    line = line_of(desk)
    following = _following(line, image)
    where = actions.box_of(box)
    try:
        row = give(
            line,
            image,
            verdict,
            kind=kind or None,
            new_kind=new_kind,
            box=where,
            by=by or None,
        )
    except ValueError as error:
        raise ValueError(_in_words_of_the_page(str(error))) from error
    return row, opened(desk, following)


def told(desk: Desk, row: Row) -> str:
    """What was written down, and what it replaces."""
    before = replaced_by(line_of(desk).log, row)
    more = f'; replaces {words_of(before)}, row {before.id}' if before else ''
    return f'{words_of(row)}: written down, row {row.id}{more}'


def dismissed(desk: Desk, image: str, by: str = '') -> Shown | None:
    """Take an image out without a verdict, and open what waits after it.

    Args:
        desk: Of a line.
        image: Hash of the image.
        by: Who says so.
    """
    line = line_of(desk)
    following = _following(line, image)
    for entry in queue.entries(line):
        if entry.image == image:  # it may be done meanwhile
            queue.dismiss(line, entry, by=by.strip() or None)
    return opened(desk, following)


def line_of(desk: Desk) -> Line:
    """The line of the page.

    Raises:
        ValueError: It is the page of a model.
    """
    if desk.line is None:
        raise ValueError(
            f'{desk.path} is no line: expected one, which has a queue; make one with '
            '`mmdefect line init`'
        )
    return desk.line


def key_of(verdict: str) -> str:
    """Name of a verdict's button, as ``keys.js`` has it."""
    return f'say-{verdict.replace(" ", "-")}'


_WORDS = {
    'give it with --kind': 'choose it at Kind',
    'give it with --box': 'click two of its corners',
    '; --product says what product it is': '',
    'with --new-kind': 'with the tick below Kind',
    'insist with --alike': 'insist with --alike of `mmdefect line verdict`',
}


def _in_words_of_the_page(sentence: str) -> str:
    """A sentence about a verdict without what belongs to the command line."""
    for words, own in _WORDS.items():
        sentence = sentence.replace(words, own)
    for verdict in VERDICTS:
        sentence = sentence.replace(f"verdict='{spelled_out(verdict)}'", verdict)
        sentence = sentence.replace(f"'{spelled_out(verdict)}'", verdict)
    return sentence


def _following(line: Line, image: str) -> str | None:
    names = [one.image for one in queue.entries(line)]
    if image not in names:
        return None
    at = names.index(image)
    return next(iter([*names[at + 1 :], *reversed(names[:at])]), None)


def _looked(desk: Desk, entry: Entry, model: DefectInferencer) -> Prediction:
    """What the version that decided finds on the picture, or why there is none."""
    error = entry.detail or f'{entry.source} could not be read'
    if entry.reason != DAMAGED and not entry.image.startswith(UNREAD):
        try:
            found = picture_of(line_of(desk), entry.image, entry.source)
            if found is not None:
                return looked_at(model, found)
            error = entry.detail or f'the picture of {entry.source} was not kept'
        except (OSError, ValueError, RuntimeError) as why:
            error = str(why)
    return failed(error, model.spec, source=str(entry.source))


def _said(entry: Entry, at: int, total: int, error: str | None) -> str:
    decided = f'{entry.decision}, {entry.time[:19].replace("T", " ")} UTC'
    rows = {
        'image': Path(entry.source or '').name,
        'decided': decided if entry.time else '',
        'by': entry.version,
        'product': entry.product,
        'found': ', '.join(entry.kinds),
        'score': actions.number(entry.score),
        'threshold': actions.number(entry.threshold),
        'look at': entry.detail if entry.detail != error else '',
        'note': error,
    }
    lines = ''.join(
        f'<tr><th>{name}</th><td>{escape(value)}</td></tr>'
        for name, value in rows.items()
        if value
    )
    reason = _REASONS.get(entry.reason, entry.reason)
    return (
        f'<p class="big">{at + 1} of {total}: {escape(reason)}</p>'
        f'<table title="{escape(entry.source or "")}">{lines}</table>'
    )


__all__ = ['NOTHING', 'VERDICTS', 'Shown', 'decided', 'dismissed', 'key_of', 'opened']
