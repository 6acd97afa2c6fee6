"""An entry of the queue, and its file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmdefect.utils.checks import check_type, visible
from mmdefect.utils.text_files import read_json

#: Digits of a hash from which on it may be cut short.
SHORTEST = 8
UNREAD = 'unread:'
"""Before the hash of the source where there is no image that has one."""
DAMAGED = 'damaged entry'
"""Reason of an entry that is not as it was written: it is shown, and can be dismissed,
so that it is in nobody's way."""
# What is called otherwise is none of ours.
FILE = re.compile(r'((?:pixels-|unread-)?[0-9a-f]{64})\.json')
_TYPES = {'image': str, 'reason': str, 'row': int, 'time': str, 'kinds': list}
_TEXTS = ('source', 'version', 'product', 'decision', 'detail')


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An image that waits for a verdict.

    Attributes:
        image: Its hash, as in the log; of one that could not be read at all
            :data:`UNREAD` and the hash of its source.
        reason: Of :func:`mmdefect.line.queue.consider`, or :data:`DAMAGED`.
        row: Of the decision that put it here, by its id.
        time: Of that decision.
        source, version, product, decision, score, threshold, kinds: Of it, too; see
            :class:`mmdefect.line.log.Row`.
        detail: What of it to look at, in words; see
            :func:`mmdefect.line.queue.detail_of`.
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
    detail: str | None = None


def read_entry(path: Path) -> Entry | None:
    """What a file holds; None if it is gone.

    One that is damaged says so, and can be dismissed as any other.
    """
    image = path.stem.replace('-', ':')
    try:
        return _entry(read_json(path, 'entry of the queue'), image)
    except FileNotFoundError:  # done meanwhile
        return None
    except (KeyError, TypeError, ValueError, OSError) as error:
        why = (
            f'{path} is not as mmdefect wrote it ({error}): expected an image that '
            'waits for a verdict; dismiss it'
        )
        return Entry(image=image, reason=DAMAGED, row=0, time='', detail=why)


def _entry(content: dict[str, Any], image: str) -> Entry:
    """An entry whose values are of the types that it has.

    Raises:
        KeyError, TypeError, ValueError: Something is missing, unknown, or of another
            type, or it is that of another image.
    """
    for name, kind in _TYPES.items():
        check_type(name, content[name], kind, expected='as it was written')
    for name in {*content} & {*_TEXTS}:
        check_type(name, content[name], str | None, expected='text')
    for name in {*content} & {'score', 'threshold'}:
        check_type(name, content[name], int | float | None, expected='a number')
    for kind in content['kinds']:
        check_type('kinds', kind, str, expected='names')
    if content['image'] != image:
        raise ValueError(f'image={visible(content["image"])!r}')
    return Entry(**{**content, 'kinds': tuple(content['kinds'])})
