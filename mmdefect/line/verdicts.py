"""What a person says of a decision: a row of the log; the newest of an image holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mmdefect.deploy.package import read_package
from mmdefect.line.decided import (
    VERDICTS,
    find_decision,
    newest_verdict,
    refuse_unreadable,
    unchanged,
    verdict_of,
)
from mmdefect.line.images import suffix_of
from mmdefect.line.lock import alone
from mmdefect.line.names import close_to, twin_of
from mmdefect.line.queue import done
from mmdefect.line.truth import Box, truth_of
from mmdefect.utils.checks import (
    brief,
    check_known,
    check_number,
    check_type,
    some_of,
    visible,
)

if TYPE_CHECKING:
    from mmdefect.deploy.spec import ModelSpec, Task
    from mmdefect.line.folder import Line
    from mmdefect.line.log import DecisionLog, Row

__all__ = ['VERDICTS', 'give', 'spec_of', 'standing']

#: What becomes a folder of an export: no path, not hidden, not longer than names are.
_NAME = re.compile(r'[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]{0,99}')
_GOOD = 'good'


def give(
    line: Line,
    image: str | Path,
    verdict: str,
    *,
    kind: str | Sequence[str] | None = None,
    box: Sequence[float] | Sequence[Sequence[float]] | None = None,
    product: str | None = None,
    new_kind: bool = False,
    alike: bool = False,
    by: str | None = None,
) -> Row:
    """Say what is right about the newest decision on an image.

    A row is appended, unless the same was said last of this image. The newest verdict
    of an image is what exports go by; those before it stay in the log. The image leaves
    the queue, and its picture is kept if the policy keeps any.

    Args:
        line: That has decided.
        image: See :func:`mmdefect.line.decided.find_decision`.
        verdict: ``'confirmed'``, ``'false alarm'``, ``'missed'`` or ``'wrong kind'``;
            see :func:`mmdefect.line.truth.truth_of`.
        kind: Of the defect; several where several boxes are of different kinds. Of maps
            any name, which an export uses as that of a folder.
        box: x1, y1, x2, y2 in pixels of the image as viewers show it, or several.
        product: Of maps: which it shows, if that was not recognised.
        new_kind: Whether the kind (of maps: the product) may be one that the model does
            not know: the next step's class begins with it.
        alike: Whether a new one may be called almost as one that there is.
        by: Who says so.

    Returns:
        The row; the one that is there if the same was said last.

    Raises:
        OSError: It cannot be written.
        ValueError: The image is not known, the verdict does not fit the decision, or
            the kind, the product or the box means nothing.
    """
    verdict = verdict_of(verdict)
    check_type('by', by, str | None, expected='a name')
    decision = find_decision(line.log, image)
    refuse_unreadable(line, decision, image)
    spec = spec_of(line, decision.version)
    kinds, boxes = _several(kind), _boxes(box, decision)
    known = dict.fromkeys(spec.classes)
    if line.current() not in (None, decision.version):  # it may know more by now
        known |= dict.fromkeys(spec_of(line, line.current()).classes)
    _check_names(line.log, spec.task, [*known], kinds, product, new_kind, alike)
    truth = truth_of(verdict, decision, spec, kinds=kinds, boxes=boxes)
    body = {'about': decision.id, 'task': spec.task, **truth.to_dict()}
    body |= {key: decision.body[key] for key in _COPIED if key in decision.body}
    row: dict[str, Any] = {
        'version': decision.version,
        'image': decision.image,
        'source': decision.source,
        'product': product or decision.product or _only_product(spec),
        'decision': verdict,
        'score': decision.score,
        'threshold': decision.threshold,
        'kinds': truth.named,
        'body': body if by is None else {**body, 'by': by},
    }
    name = str(decision.image)
    with alone(line.queue_dir):  # twice at once is once, too
        before = newest_verdict(line.log, name)
        if before is None or _said(before) != _said(row):
            _keep(line, decision, Path(image))
            before = line.log.append('verdict', **row)
        done(line, name)
    return before


def standing(log: DecisionLog) -> list[Row]:
    """The newest verdict of each image, in the order in which they were given."""
    newest: dict[str | None, Row] = {}
    for row in log.rows(kind='verdict'):
        newest.pop(row.image, None)
        newest[row.image] = row
    return [*newest.values()]


_COPIED = ('size', 'name', 'boxes_left_out')


def _said(row: Row | dict[str, Any]) -> tuple[Any, ...]:
    """What makes a verdict another one: not who gives it, and of which version."""
    given = row if isinstance(row, dict) else vars(row)
    body = given['body']
    what = (given['decision'], given['product'], tuple(given['kinds']))
    return *what, body['good'], body['things']


def spec_of(line: Line, version: str | None) -> ModelSpec:
    """Of the model of a version; of the one in use if that one's package is gone.

    Raises:
        FileNotFoundError: Both are gone.
    """
    for name in (version, line.current()):
        if name is not None and (line.versions_dir / name).is_dir():
            return read_package(line.package(name)).spec
    raise FileNotFoundError(
        f'the packages of {version} and of the version in use are gone from '
        f'{line.versions_dir}: expected one, which says what kinds there are; restore '
        'it'
    )


def _only_product(spec: ModelSpec) -> str | None:
    return spec.only_class if spec.task == 'maps' else None


def _several(kind: str | Sequence[str] | None) -> list[str]:
    check_type('kind', kind, str | Sequence | None, expected='a name, or several')
    kinds = [kind] if isinstance(kind, str) else [*(kind or ())]
    for one in kinds:
        check_type('kind', one, str, expected='a name')
    return kinds


def _boxes(
    box: Sequence[float] | Sequence[Sequence[float]] | None, decision: Row
) -> list[Box]:
    """The boxes that are given, each within the image.

    Raises:
        ValueError: One is none, has no area, or reaches out of the image.
    """
    if box is None or len(box) == 0:
        return []
    several = hasattr(box[0], '__len__')
    given = box if several else [box]
    return [_checked(one, decision) for one in cast(Sequence[Sequence[float]], given)]


def _checked(box: Sequence[float], decision: Row) -> Box:
    said = f'box={brief([*box])}'
    if len(box) != 4:
        raise ValueError(f'{said}: expected x1, y1, x2, y2 in pixels')
    for value in box:
        check_number('box', value)
    x1, y1, x2, y2 = (float(value) for value in box)
    if x2 - x1 < 1 or y2 - y1 < 1:
        raise ValueError(
            f'{said}: expected x1, y1, x2, y2 of a box that is a pixel wide and high '
            'at least; correct it'
        )
    width, height = decision.body.get('size') or (0, 0)
    if min(x1, y1) < 0 or x2 > width or y2 > height:
        raise ValueError(
            f'{said} reaches out of the image of {width}x{height} pixels: expected a '
            'box within it; correct it'
        )
    return x1, y1, x2, y2


def _check_names(
    log: DecisionLog,
    task: Task,
    known: Sequence[str],
    kinds: Sequence[str],
    product: str | None,
    new_kind: bool,
    alike: bool,
) -> None:
    """Refuse names that are none, and those that nobody knows."""
    maps = task == 'maps'
    if product is not None and not maps:
        raise ValueError(
            f"product='{visible(product)}': expected none with a model of {task}; "
            'leave it out'
        )
    names = [*kinds] if product is None else [*kinds, product]
    for name in names:
        if name in known:
            continue
        if not _NAME.fullmatch(name) or name != name.strip() or name == _GOOD:
            raise ValueError(
                f"'{visible(name)}' is no name of a kind or product: expected up to "
                f'100 letters without slashes, not {_GOOD!r}; choose another'
            )
    if maps:  # whose kinds are free, but one each
        names = [] if product is None else [product]
        _check_spelling(kinds, _begun(log, 'defect') if kinds else [])
    column = 'product' if maps else 'defect'
    unknown = [name for name in names if name not in known]
    every = [*known, *(_begun(log, column) if unknown else [])]
    unknown = [name for name in unknown if name not in every]
    _check_spelling(unknown, every)
    for name in unknown:
        _check_new(column, name, every, new_kind, alike)


def _begun(log: DecisionLog, column: str) -> list[str]:
    """Kinds, or products, that verdicts have named already."""
    table = 'defects' if column == 'defect' else 'log'
    found = log.select(
        f"SELECT DISTINCT {column} FROM {table} WHERE kind = 'verdict' AND "  # noqa: S608
        "kind <> 'decision'"
    )
    return [name for (name,) in found if name]


def _check_spelling(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse what is but another spelling of a name that there is."""
    for name in names:
        if name not in known and (other := twin_of(name, known)) is not None:
            raise ValueError(
                f"'{visible(name)}' differs from '{visible(other)}' in case, blanks, _ "
                'or - only: expected one spelling; give that one'
            )


def _check_new(
    what: str, name: str, known: Sequence[str], new_kind: bool, alike: bool
) -> None:
    close = close_to(name, known)
    if new_kind and close and not alike:
        raise ValueError(
            f"'{visible(name)}' is almost {some_of(close)}: expected that one, or one "
            'that is called otherwise; give that one, or insist with --alike'
        )
    if not new_kind:
        try:
            check_known([name], known, what='the verdict')
        except ValueError as error:
            raise ValueError(
                f'{error}; with --new-kind the next step begins a class of it'
            ) from None


def _keep(line: Line, decision: Row, given: Path) -> None:
    """Keep the picture of a reviewed image, from the file that was named if it is one.

    Raises:
        OSError: It cannot be written.
    """
    name = str(decision.image)
    if line.settings.keep_images == 'none':
        return
    with suppress(OSError, ValueError):  # what is kept was changed
        if line.images.read(name) is not None:
            return
    found = unchanged(given, name) or unchanged(Path(decision.source or ''), name)
    if found is not None:
        line.images.add(name, found.data, suffix=suffix_of(found.data))
