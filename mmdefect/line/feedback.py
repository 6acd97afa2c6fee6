"""Reviewed images as a data set for the next step: COCO, MVTec-AD, a folder a class."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mmdefect.line.folder import refuse_inside
from mmdefect.line.reviewed import GOOD, Reviewed, reviewed
from mmdefect.line.verdicts import spec_of, standing
from mmdefect.utils.checks import check_choice, check_type, name_some, some_of, visible
from mmdefect.utils.files import new_folder, write_json
from mmdefect.utils.images import write_png

if TYPE_CHECKING:
    from mmdefect.deploy.spec import ModelSpec, Task
    from mmdefect.line.folder import Line

FORMS: dict[Task, tuple[str, ...]] = {
    'boxes': ('coco',),
    'maps': ('mvtec', 'coco'),
    'labels': ('folders',),
}
"""How the images of a task can be exported, the usual form first."""
COMBINED = 'combined'
"""What MVTec-AD calls images with defects of several kinds."""
Lack: TypeAlias = Callable[[Reviewed], str | None]
"""Why an image cannot be written, or None."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export has written.

    Attributes:
        folder: Where.
        form: One of :data:`FORMS`.
        images: How many.
        good: How many of them show no defect.
        kinds: Defects of each kind; of maps and labels, images.
        classes: In label order, those that the model does not know last; of maps the
            products.
        left_out: Reviewed images that are not in it, each with its reason.
        notes: What else is worth knowing.
        command: Which reads it.
    """

    folder: Path
    form: str
    images: int
    good: int
    kinds: dict[str, int]
    classes: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    command: str = ''


def export_feedback(
    line: Line, out: str | Path, form: str | None = None, *, leave_out: bool = False
) -> Exported:
    """Write what was reviewed as a data set: all of it, or nothing.

    Of each image the newest verdict counts. What nobody has reviewed is not in it.

    - ``'coco'``: ``feedback.json`` and ``images/``; ``mmdefect init boxes`` takes it.
      A kind that the model does not know has its class behind all others.
    - ``'mvtec'``: ``PRODUCT/train/good`` for good images, ``PRODUCT/test/KIND`` for
      others, which ``mmdefect init maps`` takes. Where all defective images of a
      product have boxes, these are their masks.
    - ``'folders'``: a folder a class, which ``mmdefect init labels`` takes.

    Args:
        line: With its verdicts.
        out: New or empty folder.
        form: By default the first that :data:`FORMS` has for the line's models.
        leave_out: Whether to go on without images that cannot be written: their
            picture is gone, or the verdict says too little for the form.

    Raises:
        FileExistsError: The folder holds something.
        OSError: It cannot be written.
        ValueError: There is no verdict yet, the folder is inside of a line, the form
            does not fit the task, or images cannot be written; it names them and says
            why.
    """
    check_type('out', out, str | Path, expected='a folder')
    out = Path(out)
    refuse_inside(out)
    rows = standing(line.log)
    if not rows:
        raise ValueError(
            f'{line.folder} has no verdict yet: expected some to export; give them '
            'with `mmdefect line verdict`'
        )
    spec = spec_of(line, line.current() or rows[-1].version)
    form = FORMS[spec.task][0] if form is None else form
    check_choice('form', form, FORMS[spec.task])
    prepare = {'coco': _coco, 'mvtec': _mvtec, 'folders': _folders}[form]
    found = [reviewed(line, row) for row in rows]
    images = [one for one in found if isinstance(one, Reviewed)]
    lacks = [one for one in found if isinstance(one, str)]
    plan = prepare(images, spec, lacks)
    if lacks and not leave_out:
        raise ValueError(
            f'reviewed images that cannot be written as {form}, {name_some(lacks)}: '
            'expected all of them; put that right, or leave them out with --leave-out'
        )
    if not plan.images:
        raise ValueError(
            f'no reviewed image can be written as {form} ({name_some(lacks)}): '
            'expected one at least; put that right'
        )
    with new_folder(out, cure='give another OUT') as draft:
        plan.write(draft)
    return Exported(
        folder=out,
        form=form,
        images=len(plan.images),
        good=sum(not one.things for one in plan.images),
        kinds=dict(Counter(kind for one in plan.images for kind, _ in one.things)),
        classes=plan.classes,
        left_out=tuple(lacks),
        notes=plan.notes,
        command=_next(plan.command(out), out),
    )


def _next(words: Sequence[str], out: Path) -> str:
    """What reads an export: beside other configs, of which my_line.py is the usual."""
    config = re.sub(r'\W', '_', out.resolve().name)
    return shlex.join(['mmdefect', 'init', *words, '--out', f'{config}.py'])


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What will be written."""

    images: Sequence[Reviewed]
    classes: tuple[str, ...]
    write: Callable[[Path], None]
    command: Callable[[Path], list[str]]
    notes: tuple[str, ...] = ()


def _sound(images: Sequence[Reviewed], lack: Lack, lacks: list[str]) -> list[Reviewed]:
    """Images that lack nothing; what others lack is put down."""
    kept = []
    for one in images:
        if why := lack(one):
            lacks.append(one.told(why))
        else:
            kept.append(one)
    return kept


def _coco(images: Sequence[Reviewed], spec: ModelSpec, lacks: list[str]) -> _Plan:
    from mmdefect.converters.coco import ImageRecord, build_coco

    kept = _sound(images, _lacks_box, lacks)
    known = () if spec.task == 'maps' else spec.classes  # of maps they are products
    named = (kind for one in kept for kind, _ in one.things)
    classes = tuple(dict.fromkeys([*known, *named]))
    records = [
        ImageRecord(
            f'images/{one.name}',
            *one.size,
            [(kind, box) for kind, box in one.things if box is not None],
        )
        for one in kept
    ]
    coco, report = build_coco(records, classes, title='verdicts of a line')
    notes = [*report.notes]
    if dropped := report.degenerate + report.duplicates:
        notes.append(f'boxes without an area or there twice: {name_some(dropped)}')

    def write(draft: Path) -> None:
        for one in kept:
            one.write(draft / 'images' / one.name)
        write_json(draft / 'feedback.json', coco)

    return _Plan(
        images=kept,
        classes=classes,
        write=write,
        command=lambda out: ['boxes', str(out), '--classes', *classes],
        notes=tuple(notes),
    )


def _lacks_box(one: Reviewed) -> str | None:
    if one.row.body.get('boxes_left_out'):
        return 'it has more boxes than the log holds; say where they are with --box'
    bare = [kind for kind, box in one.things if box is None]
    if bare:
        return f'{some_of(bare)} without a box; say where with --box'
    sides = [min(x2 - x1, y2 - y1) for x1, y1, x2, y2 in one.boxes]
    if sides and max(sides) < 1:
        return 'none of its boxes is a pixel wide and high; say where with --box'
    return None


def _mvtec(images: Sequence[Reviewed], spec: ModelSpec, lacks: list[str]) -> _Plan:
    kept = _sound(images, _lacks_product, lacks)
    of_product: dict[str, list[Reviewed]] = defaultdict(list)
    for one in kept:
        of_product[str(one.row.product)].append(one)
    bare = {
        product
        for product, own in of_product.items()
        if all(one.things for one in own)  # nothing reads a product without good images
    }
    kept = _sound(kept, lambda one: _lacks_good(one, bare), lacks)
    notes = []
    known = [name for name in spec.classes if name in of_product and name not in bare]
    classes = tuple(dict.fromkeys([*known, *(str(one.row.product) for one in kept)]))
    masked = set()
    for product in classes:
        boxed = [one.boxes for one in of_product[product] if one.things]
        if all(boxed):
            masked.add(product)
        elif any(boxed):
            notes.append(
                f'{product}: no masks, as {boxed.count([])} of {len(boxed)} defective '
                'images have no box; say where with --box'
            )
    if known:
        notes.append(
            f'known products, {some_of(known)}: mmdefect init maps --after learns '
            'new ones only; put their train/good beside what they were learned of, and '
            'learn them anew'
        )

    def write(draft: Path) -> None:
        for one in kept:
            product = str(one.row.product)
            _write_mvtec(one, draft / product, masks=product in masked)

    return _Plan(
        images=kept,
        classes=classes,
        write=write,
        command=lambda out: ['maps', str(out)],
        notes=tuple(notes),
    )


def _lacks_product(one: Reviewed) -> str | None:
    if one.row.product is None:
        return 'its product is not known; say it with --product'
    if one.row.product.strip('. ') == '' or {'/', '\\'} & {*one.row.product}:
        return f'its product {visible(one.row.product)!r} cannot be a folder'
    return None


def _lacks_good(one: Reviewed, bare: set[str]) -> str | None:
    if one.row.product in bare:
        return f'{one.row.product} has no good image that is reviewed; review one'
    return None


def _write_mvtec(one: Reviewed, folder: Path, *, masks: bool) -> None:
    if not one.things:
        one.write(folder / 'train' / GOOD / one.name)
        return
    kinds = dict.fromkeys(kind for kind, _ in one.things)
    kind = next(iter(kinds)) if len(kinds) == 1 else COMBINED
    one.write(folder / 'test' / kind / one.name)
    if masks:
        mask = np.zeros(one.size[::-1], np.uint8)
        for x1, y1, x2, y2 in one.boxes:
            mask[int(y1) : math.ceil(y2), int(x1) : math.ceil(x2)] = 255
        stem = Path(one.name).stem
        write_png(folder / 'ground_truth' / kind / f'{stem}_mask.png', mask)


def _folders(images: Sequence[Reviewed], spec: ModelSpec, lacks: list[str]) -> _Plan:
    others = [name for name in spec.classes if name != spec.defective]

    def folder_of(one: Reviewed) -> str | None:
        if one.things:
            return one.things[0][0]
        if len(others) == 1:
            return others[0]
        # Of an image that was found good, the class that it was taken for.
        taken = one.row.body.get('name') if one.row.decision == 'confirmed' else None
        return None if taken is None else str(taken)

    def lack(one: Reviewed) -> str | None:
        if folder_of(one) is None:
            return "which good class it is of is not known; say 'wrong-kind' --kind"
        return None

    kept = _sound(images, lack, lacks)
    named = [str(folder_of(one)) for one in kept]
    good = [name for name in others if name in named]
    told = ['--good', *good] if len(good) == 1 else []  # whatever it is called

    def write(draft: Path) -> None:
        for one, name in zip(kept, named, strict=True):
            one.write(draft / name / one.name)

    return _Plan(
        images=kept,
        classes=tuple(dict.fromkeys([*spec.classes, *named])),
        write=write,
        command=lambda out: ['labels', str(out), *told],
    )
