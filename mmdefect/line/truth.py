"""What an image shows, as a verdict on a decision says: good, or what defects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mmdefect.deploy.formats import ANOMALY
from mmdefect.deploy.postprocess import overlaps
from mmdefect.line.decided import spelled_out, verdict_of
from mmdefect.utils.checks import some_of

if TYPE_CHECKING:
    from mmdefect.deploy.spec import ModelSpec
    from mmdefect.line.log import Row

Box: TypeAlias = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the image, as viewers show it."""
Thing: TypeAlias = tuple[str, Box | None]
"""A defect: its kind, and where it is if that is known."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What an image shows.

    Attributes:
        good: Whether it shows no defect; None if that is not known.
        things: All defects that it shows.
        named: Kinds that the verdict is about: found and confirmed, found and none,
            missed, or what the wrong kind should have been.
    """

    good: bool | None
    things: tuple[Thing, ...] = ()
    named: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the body of a row."""
        things = [
            {'name': name, 'box': None if box is None else [*box]}
            for name, box in self.things
        ]
        return {'good': self.good, 'things': things}


def things_of(row: Row) -> list[Thing]:
    """The defects that the row of a verdict holds."""
    return [_thing(one) for one in row.body.get('things', ())]


def shows(row: Row, kind: str) -> bool:
    """Whether an image shows a kind, by the row of its verdict.

    What the verdict is about, and what it lets stand: what an export writes of it.
    """
    return any(name == kind for name, _ in things_of(row))


def truth_of(
    verdict: str,
    decision: Row,
    spec: ModelSpec,
    *,
    kinds: Sequence[str] = (),
    boxes: Sequence[Box] = (),
) -> Truth:
    """What an image shows by a verdict on the decision on it.

    - ``confirmed``: what was decided. Boxes that are given take the place of those that
      were found. Of an unknown product it says that it is unknown, and no more.
    - ``false alarm``: it is good. Of boxes: what was found of the kinds, or where the
      boxes are, is no defect, and the rest stays; all of it, if neither is given.
    - ``missed``: it shows what was found, and besides it the kinds that are given.
    - ``wrong kind``: what was found is of the kind that is given; if several kinds were
      found, where the box is.

    Args:
        verdict: One of :data:`mmdefect.line.decided.VERDICTS`.
        decision: The row of the decision.
        spec: Of the model that made it.
        kinds: One for all boxes, or one a box.
        boxes: Within the image.

    Raises:
        ValueError: The verdict does not fit the decision, or something is missing.
    """
    verdict = verdict_of(verdict)
    if boxes and spec.task == 'labels':
        raise ValueError('box: expected none with a model of labels; leave it out')
    if len(boxes) > 0 and len(kinds) not in (0, 1, len(boxes)):
        raise ValueError(
            f'{len(kinds)} kinds and {len(boxes)} boxes: expected one kind, or one a '
            'box; give as many'
        )
    given = _Given(
        verdict=verdict, decision=decision, spec=spec, kinds=kinds, boxes=boxes
    )
    judge = {
        'confirmed': _confirmed,
        'false alarm': _false_alarm,
        'missed': _missed,
        'wrong kind': _wrong_kind,
    }
    return judge[verdict](given)


@dataclass(frozen=True, kw_only=True)
class _Given:
    verdict: str
    decision: Row
    spec: ModelSpec
    kinds: Sequence[str]
    boxes: Sequence[Box]

    @property
    def decided(self) -> str:
        return self.decision.decision or 'undecided'

    @property
    def found(self) -> list[Thing]:
        """What was called a defect."""
        if self.spec.task == 'boxes':
            found = self.decision.body.get('boxes', ())
            return [_thing(one) for one in found if one.get('is_defect', True)]
        kinds = self.decision.kinds or (ANOMALY,) * (self.decided == 'defective')
        return [(kind, None) for kind in kinds]

    @property
    def things(self) -> list[Thing]:
        """What is given: a kind and a box each."""
        kinds = [*self.kinds]
        if not self.boxes:
            return [(kind, None) for kind in kinds]
        if len(kinds) < 2:
            kinds = [*kinds, *[ANOMALY] * (not kinds)] * len(self.boxes)
        return [*zip(kinds, self.boxes, strict=True)]

    def refuse(self, expected: str) -> ValueError:
        """What is wrong with a verdict."""
        known = f' ({some_of(self.decision.kinds)})' if self.decision.kinds else ''
        return ValueError(
            f"verdict='{spelled_out(self.verdict)}' on an image that was decided to be "
            f'{self.decided}{known}: expected {expected}'
        )


def _confirmed(given: _Given) -> Truth:
    if given.decided == 'undecided':
        raise given.refuse("'false-alarm' if it is good, 'missed' if it is not")
    if given.decided != 'defective':
        if given.kinds or given.boxes:
            raise given.refuse("no kind and no box; say 'missed' if there is a defect")
        return Truth(good=True if given.decided == 'ok' else None)
    found, things = given.found, given.things
    own = tuple(dict.fromkeys(kind for kind, _ in found))
    if given.spec.task == 'maps':
        things = things or found
    elif given.boxes and not given.kinds:
        things = [(_nearest(given, box)[0], box) for box in given.boxes]
    elif given.boxes or not given.kinds:
        things = things or found
    elif {*given.kinds} == {*own}:
        things = found
    else:
        raise given.refuse("the kinds that were found; say 'wrong-kind' or 'missed'")
    return Truth(good=False, things=tuple(things), named=_kinds(things))


def _false_alarm(given: _Given) -> Truth:
    if given.decided == 'ok':
        raise given.refuse("'confirmed', which says that it is good, or 'missed'")
    if given.spec.task != 'boxes':
        if given.kinds or given.boxes:
            raise given.refuse('no kind and no box: all of the image is good')
        return Truth(good=True, named=given.decision.kinds)
    found = given.found
    gone = [_nearest(given, box) for box in given.boxes]
    for kind in () if given.boxes else given.kinds:
        own = [thing for thing in found if thing[0] == kind]
        if not own:
            raise given.refuse(f'a kind that was found, not {kind!r}')
        gone += own
    gone = gone or found
    rest = tuple(thing for thing in found if thing not in gone)
    return Truth(good=not rest, things=rest, named=_kinds(gone))


def _missed(given: _Given) -> Truth:
    things = given.things
    if not given.kinds:
        kind = {'maps': ANOMALY, 'labels': given.spec.defective}.get(given.spec.task)
        if kind is None:
            raise given.refuse('the kind that was missed; give it with --kind')
        places: Sequence[Box | None] = given.boxes or [None]
        things = [(kind, box) for box in places]
    found = [] if given.spec.task == 'labels' else given.found
    if given.spec.task != 'boxes' and given.decided == 'defective':
        raise given.refuse("'confirmed', as nothing was missed, or 'false-alarm'")
    return Truth(good=False, things=(*found, *things), named=_kinds(things))


def _wrong_kind(given: _Given) -> Truth:
    if given.spec.task == 'maps':
        raise given.refuse(
            'another verdict, as a model of maps names no kind; --product says what '
            'product it is'
        )
    if not given.kinds:
        raise given.refuse('the kind that it is; give it with --kind')
    found = given.found
    if given.spec.task == 'labels':
        found = [*found] or [('', None)]
    elif given.decided != 'defective':
        raise given.refuse("'missed', as nothing was found")
    if not given.boxes and len({*_kinds(found)}) > 1:
        raise given.refuse('the box that is of another kind; give it with --box')
    if not given.boxes and len(given.kinds) > 1:
        raise given.refuse('one kind, or a box for each')
    wrong = [_nearest(given, box) for box in given.boxes] or found
    things = given.things if given.boxes else [(given.kinds[0], b) for _, b in found]
    if same := {*_kinds(wrong)} & {*given.kinds}:
        raise given.refuse(f"'confirmed', as {some_of(sorted(same))} is what was found")
    rest = [thing for thing in found if thing not in wrong]
    return Truth(good=False, things=(*rest, *things), named=_kinds(things))


def _nearest(given: _Given, box: Box) -> Thing:
    """What was found where a box is."""
    found = [thing for thing in given.found if thing[1] is not None]
    if found:
        sides = np.array([thing[1] for thing in found], np.float64).T
        shared = overlaps(np.array([box], np.float64).T, sides, 0)[0]
        if shared.max() > 0:
            return found[int(shared.argmax())]
    raise given.refuse(f'a box where something was found, not {[*box]}')


def _kinds(things: Sequence[Thing]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kind for kind, _ in things if kind))


def _thing(one: Mapping[str, Any]) -> Thing:
    box = one.get('box')
    if box is None:
        return str(one['name']), None
    x1, y1, x2, y2 = map(float, box)
    return str(one['name']), (x1, y1, x2, y2)
