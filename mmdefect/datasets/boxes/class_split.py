"""Which images and boxes a step of a stream sees: pure logic on COCO dictionaries.

Three modes (Cermelli et al., CVPR 2020, name the first two):

- ``overlap``: images with at least one box of the kept classes, only those boxes;
  objects of other classes stay in the image, unlabelled.
- ``disjoint``: as ``overlap``, without images that show any other class.
- ``relabel``: images as in ``overlap``, boxes of all classes seen so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmdefect.utils.checks import check_choice, check_known

SPLIT_MODES = ('overlap', 'disjoint', 'relabel')


def image_is_kept(present: set[str], keep: set[str], mode: str) -> bool:
    """Say whether a step sees an image, by the classes that have a box in it."""
    if mode == 'disjoint' and present - keep:
        return False
    return bool(present & keep)


def class_names(coco: dict[str, Any]) -> list[str]:
    """Class names of a COCO dictionary, in its own order."""
    return [category['name'] for category in coco['categories']]


def classes_per_image(coco: dict[str, Any]) -> dict[int, set[str]]:
    """Image id -> classes with at least one box in it, for every image."""
    names = {category['id']: category['name'] for category in coco['categories']}
    present: dict[int, set[str]] = {image['id']: set() for image in coco['images']}
    for annotation in coco['annotations']:
        present[annotation['image_id']].add(names[annotation['category_id']])
    return present


def split_coco(
    coco: dict[str, Any],
    *,
    keep: Sequence[str],
    seen: Sequence[str] | None = None,
    mode: str = 'overlap',
) -> dict[str, Any]:
    """Cut the training file of one step out of a whole training file.

    All categories stay, in their order, so that labels are global indices and the head
    alone knows the offset of its step. Images and annotations are shared with ``coco``.

    Args:
        coco: The whole training set.
        keep: Classes of the step.
        seen: Classes of this and all earlier steps, whose boxes ``relabel`` keeps; all
            classes by default.
        mode: One of :data:`SPLIT_MODES`.

    Raises:
        ValueError: If a class or the mode is unknown, or no image is left.
    """
    known = class_names(coco)
    check_choice('mode', mode, SPLIT_MODES)
    check_known(keep, known, what='keep')
    labelled = set(keep)
    if mode == 'relabel':
        check_known(seen or (), known, what='seen')
        labelled = set(known if seen is None else seen)
    kept = {
        image_id
        for image_id, present in classes_per_image(coco).items()
        if image_is_kept(present, set(keep), mode)
    }
    if not kept:
        raise ValueError(
            f'keep={list(keep)}, mode={mode!r}: expected at least one image; check '
            'the classes, or use another mode'
        )
    ids = {c['id'] for c in coco['categories'] if c['name'] in labelled}
    annotations = [
        annotation
        for annotation in coco['annotations']
        if annotation['image_id'] in kept and annotation['category_id'] in ids
    ]
    images = [image for image in coco['images'] if image['id'] in kept]
    return {**coco, 'images': images, 'annotations': annotations}


@dataclass(frozen=True)
class StepCount:
    """How many images of a step show objects that it leaves unlabelled.

    Args:
        classes: Classes of the step.
        images: Images with at least one box of them.
        old: Of these, images that also show a class of an earlier step.
        future: Of these, images that also show a class of a later step.
        boxes: Boxes of the step's classes.
    """

    classes: list[str]
    images: int
    old: int
    future: int
    boxes: int


@dataclass(frozen=True)
class Cooccurrence:
    """What :func:`cooccurrence_table` counted; ``str()`` gives a Markdown table.

    Args:
        classes: Classes in the order of the stream.
        steps: One entry a step.
        pairs: ``pairs[a][b]`` images that show both a and b; ``pairs[a][a]`` images
            that show a.
    """

    classes: list[str]
    steps: list[StepCount]
    pairs: dict[str, dict[str, int]]

    def __str__(self) -> str:
        lines = [
            '| step | classes | images | boxes | unlabelled old | unlabelled future |',
            '| --- | --- | --- | --- | --- | --- |',
        ]
        for step, row in enumerate(self.steps):
            old, future = (
                f'{count} ({count / max(row.images, 1):.1%})'
                for count in (row.old, row.future)
            )
            names = ', '.join(row.classes)
            lines.append(
                f'| {step} | {names} | {row.images} | {row.boxes} | {old} | {future} |'
            )
        lines += ['', '| images with both | ' + ' | '.join(self.classes) + ' |']
        lines.append('| --- ' * (len(self.classes) + 1) + '|')
        for a in self.classes:
            cells = ' | '.join(str(self.pairs[a][b]) for b in self.classes)
            lines.append(f'| {a} | {cells} |')
        return '\n'.join(lines)


def cooccurrence_table(
    coco: dict[str, Any], steps: Sequence[Sequence[str]]
) -> Cooccurrence:
    """Count the images of a training set in which classes of different steps meet.

    Raises:
        ValueError: If a step names an unknown class, or a class comes twice.
    """
    order = [name for step in steps for name in step]
    check_known(order, class_names(coco), what='steps')
    boxes = Counter(annotation['category_id'] for annotation in coco['annotations'])
    by_name = {c['name']: boxes[c['id']] for c in coco['categories']}
    shown = _shown(coco, order)
    of_step = [[order.index(name) for name in step] for step in steps]
    # Images x steps: whether an image shows any class of a step.
    any_of = np.stack([shown[:, names].any(axis=1) for names in of_step], axis=1)
    rows = []
    for index, step in enumerate(steps):
        ours = any_of[any_of[:, index]]
        rows.append(
            StepCount(
                classes=list(step),
                images=len(ours),
                old=int(ours[:, :index].any(axis=1).sum()),
                future=int(ours[:, index + 1 :].any(axis=1).sum()),
                boxes=sum(by_name[name] for name in step),
            )
        )
    # Of ones and zeros in float32, exact up to 16 million images.
    ones = shown.astype(np.float32)
    counts = (ones.T @ ones).astype(int).tolist()
    pairs = {
        a: dict(zip(order, row, strict=True))
        for a, row in zip(order, counts, strict=True)
    }
    return Cooccurrence(classes=order, steps=rows, pairs=pairs)


def _shown(coco: dict[str, Any], classes: Sequence[str]) -> np.ndarray:
    """Whether each image has a box of each class, bool, shape (images, classes)."""
    columns = {
        category['id']: classes.index(category['name'])
        for category in coco['categories']
        if category['name'] in classes
    }
    lines = {image['id']: line for line, image in enumerate(coco['images'])}
    shown = np.zeros((len(lines), len(classes)), bool)
    places = [
        (lines[annotation['image_id']], columns[annotation['category_id']])
        for annotation in coco['annotations']
        if annotation['category_id'] in columns
    ]
    if places:
        shown[tuple(np.array(places).T)] = True
    return shown
