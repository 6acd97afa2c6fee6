"""What the gate says of counts, in words: recall in points, false alarms in percent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmdefect.line.names import close_to
from mmdefect.utils.checks import amount, some_of

if TYPE_CHECKING:
    from mmdefect.line.gate import Counts, KindCount, Limits

# A count that is exactly at a limit is within it, however the limit rounds.
ROUNDING = 1e-9


def lost(before: int | None, new: KindCount, limits: Limits) -> str:
    """What a class has lost, if that is more than it may."""
    number = new.number
    less = 0 if before is None else before - (new.found or 0)
    if less <= limits.lose * number + ROUNDING:
        return ''
    now = 'not known' if new.found is None else new.found
    return (
        f'loses {points(less / number)} ({before} of {number}, now {now}): expected '
        f'{points(limits.lose)} at most ({most(limits.lose, number)} of {number})'
    )


def too_few(new: KindCount, limits: Limits) -> str:
    """What a class lacks, if it is found less often than it has to be."""
    least = limits.least or 0.0
    if new.found is None or new.found >= least * new.number - ROUNDING:
        return ''
    share, fewest = new.found / new.number, math.ceil(least * new.number - ROUNDING)
    return (
        f'is found in {percent(share)} ({new.found} of {new.number}): expected '
        f'{percent(least)} at least ({fewest} of {new.number})'
    )


def kind_note(old: KindCount | None, new: KindCount, limits: Limits) -> str:
    """What has to be known of a class that passes."""
    if not new.number:
        return 'no instance of it here: nothing is proved'
    if new.found is None:
        if old is not None and old.found is not None:
            return 'not known to the new version: nothing is proved'
        who = 'no version' if old is None else 'neither version'
        return f'known to {who}: nothing is proved'
    if limits.lose * new.number + ROUNDING < 1:
        return f'one miss is {points(1 / new.number)}, more than may be lost'
    return ''


def notes(old: Counts | None, new: Counts) -> list[str]:
    """What has to be known of an exam as a whole, in sentences."""
    told = []
    for name, counts in (('old', old), ('new', new)):
        if counts is None:
            continue
        if not counts.calibrated:
            told.append(
                f'the {name} version has no calibrated threshold of {some_of(bare)}'
                if (bare := counts.bare)
                else f'the thresholds of the {name} version are not calibrated'
            )
        if counts.failed:
            told.append(
                f'the {name} version could not look at '
                f'{amount(counts.failed, "image")}, which count against it'
            )
    return told + _unknown(old, new)


def _unknown(old: Counts | None, new: Counts) -> list[str]:
    """What the exam shows and no version knows, each with names that are like it."""
    every = [*new.kinds, *(() if old is None else old.kinds)]
    known = {one.product or one.kind for one in every if one.found is not None}
    shown = dict.fromkeys(one.product or one.kind for one in new.kinds if one.number)
    told = []
    for name in shown:
        if name not in known:
            close = close_to(name, sorted(known))
            told.append(f'{name} (is it {some_of(close)}?)' if close else name)
    if not told:
        return []
    return [f'no version knows {some_of(told)}: nothing is proved about that']


def most(share: float, number: int) -> int:
    """How many of a number are within a limit."""
    return math.floor(share * number + ROUNDING)


def percent(share: float) -> str:
    """A share in percent, e.g. ``'4.0 %'``."""
    return f'{100 * share:.1f} %'


def points(share: float) -> str:
    """A share of a recall as points, e.g. ``'4.0 points'``."""
    return f'{100 * share:.1f} points'
