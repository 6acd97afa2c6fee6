"""What waits for a verdict, one image at a time, and the verdict itself."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdefect.app import actions
from mmdefect.app.desk import Desk
from mmdefect.deploy.decision import failed
from mmdefect.line import queue
from mmdefect.line.verdicts import VERDICTS, give

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.folder import Line
    from mmdefect.line.queue import Entry

NOTHING = '<p class="big">Nothing waits for a verdict.</p>'
_REASONS = {
    'error': 'it could not be looked at',
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
    """

    image: str
    said: str
    picture: np.ndarray
    size: tuple[int, int]
    classes: tuple[str, ...]


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
    result, note = _looked(desk, entry)
    classes = () if result.task == 'maps' else desk.model(entry.version).spec.classes
    return Shown(
        image=entry.image,
        said=_said(entry, at, len(waiting), note),
        picture=actions.drawn(result),
        size=result.size if result.error is None else (1, 1),
        classes=classes,
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
) -> Shown | None:
    """Write a verdict down, and open what waits after it.

    Args:
        desk: Of a line.
        image: Hash of the image.
        verdict: One of :data:`VERDICTS`.
        kind: Of the defect; see :func:`mmdefect.line.verdicts.give`.
        new_kind: Whether the model may not know it.
        box: Where it is, as :func:`.actions.box_of` reads it.
        by: Who says it.

    Raises:
        ValueError: The box is none, or the verdict does not fit the decision.
    """
    line = line_of(desk)
    following = _following(line, image)
    give(
        line,
        image,
        verdict,
        kind=kind or None,
        new_kind=new_kind,
        box=actions.box_of(box),
        by=by or None,
    )
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


def _following(line: Line, image: str) -> str | None:
    names = [one.image for one in queue.entries(line)]
    if image not in names:
        return None
    at = names.index(image)
    return next(iter([*names[at + 1 :], *reversed(names[:at])]), None)


def _looked(desk: Desk, entry: Entry) -> tuple[Prediction, str]:
    """What the version that decided finds on the picture, and what is odd about it."""
    model = desk.model(entry.version)
    path = line_of(desk).images.find(entry.image)
    if path is None:
        error = f'the picture of {entry.source} was not kept'
        return failed(error, model.spec, source=str(entry.source)), error
    result = model.predict_one(path)
    return result, result.error or ''


def _said(entry: Entry, at: int, total: int, note: str) -> str:
    rows = {
        'image': Path(entry.source or '').name,
        'decided': f'{entry.decision}, {entry.time[:19].replace("T", " ")} UTC',
        'by': entry.version,
        'product': entry.product,
        'found': ', '.join(entry.kinds),
        'score': actions.number(entry.score),
        'threshold': actions.number(entry.threshold),
        'note': note,
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


__all__ = ['NOTHING', 'VERDICTS', 'Shown', 'decided', 'key_of', 'opened']
