"""What a stream of boxes keeps at the end of a step, within a stated budget."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from mmdefect.datasets.boxes.memory_file import (
    MANIFEST,
    Memory,
    Remembered,
    read_memory,
    write_memory,
)
from mmdefect.datasets.images import read_info
from mmdefect.streams.budget import Budget


@dataclass(frozen=True)
class Cut:
    """An object to be cut out of an image.

    Attributes:
        info: Data info of the image.
        box: ``x1, y1, x2, y2`` in whole pixels.
    """

    info: Mapping[str, Any]
    box: tuple[int, int, int, int]

    def png(self) -> bytes:
        """Its pixels as a file."""
        left, top, right, bottom = self.box
        pixels = read_info(self.info)[top:bottom, left:right]
        return bytes(cv2.imencode('.png', pixels)[1])


# Kinds that stand apart from whole photographs.
_APART = ('crops', 'drawn')
# What is kept, and where its file comes from.
Pair = tuple[Remembered, Path | Cut | bytes]


def seen_in(dataset: Any, step: int, budget: Budget) -> list[Pair]:
    """All images of a step's training set, or all objects, as what could be kept.

    Args:
        dataset: A :class:`mmdefect.datasets.boxes.dataset.DefectDetDataset`.
        step: Number of the step.
        budget: What may be kept.
    """
    images = _images_in(dataset, step)
    if budget.crops is None:
        return [(image, Path(info['img_path'])) for image, info in images]
    return [pair for image, info in images for pair in _crops_of(image, info)]


def _crops_of(image: Remembered, info: Mapping[str, Any]) -> Iterator[Pair]:
    for index, box in enumerate(image.boxes):
        left, top, right, bottom = map(round, box['bbox'])
        width, height = right - left, bottom - top
        if box['ignore'] or min(width, height) < 1:
            continue
        about = {
            'source': f'{image.source}#{index}',
            'width': width,
            'height': height,
            'boxes': [{**box, 'bbox': [0.0, 0.0, float(width), float(height)]}],
            'reading': {},
            'bytes': 0,
        }
        crop = replace(image, **about)
        yield crop, Cut(info, (left, top, right, bottom))


def _images_in(
    dataset: Any, step: int
) -> Iterator[tuple[Remembered, Mapping[str, Any]]]:
    names = dataset.metainfo['classes']
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = Path(info['img_path'])
        boxes = [
            {
                'bbox': [float(value) for value in box['bbox']],
                'class': names[box['bbox_label']],
                'ignore': int(box.get('ignore_flag', 0)),
            }
            for box in info['instances']
        ]
        image = Remembered(
            kept_for='',
            step=step,
            source=source_of(dataset, path),
            width=info['width'],
            height=info['height'],
            boxes=boxes,
            reading={k: info[k] for k in ('exif', 'bits') if k in info},
            bytes=path.stat().st_size,
        )
        yield image, info


def source_of(dataset: Any, path: Path) -> str:
    """Name of an image in its dataset, wherever that lies."""
    root = Path((getattr(dataset, 'data_prefix', None) or {}).get('img') or '.')
    inside = path.relative_to(root) if path.is_relative_to(root) else path
    return inside.as_posix()


def check_enough(
    images: Iterable[Remembered], classes: Sequence[str], budget: Budget
) -> None:
    """Refuse a budget of more images than there are.

    Raises:
        ValueError: Naming the class that has the fewest.
    """
    shown = dict.fromkeys(classes, 0)
    for image in images:
        for name in classes:
            shown[name] += image.shows(name)
    fewest = min(shown, key=lambda name: shown[name])
    if budget.number is not None and shown[fewest] < budget.number:
        (kind,) = budget.asked
        raise ValueError(
            f'stream.memory.{kind}={budget.number}: expected at most '
            f'{shown[fewest]}, the {kind} that show {fewest}; lower it, or give its '
            'step more images'
        )


def choose(
    images: Sequence[Pair],
    *,
    classes: Sequence[str],
    budget: Budget,
    seed: int,
    share_of: int,
) -> list[Pair]:
    """Choose at random, by seed and name, what is kept of each class.

    The choice does not hang on the order of the images. An image is kept for one
    class; one that is kept for another class already is passed over.

    Args:
        images: All that could be kept.
        classes: Classes to choose for.
        budget: What may be kept.
        seed: Of the choice.
        share_of: Number of classes that share a budget in megabytes.

    Raises:
        ValueError: There are fewer images than the budget asks for, or not one fits.
    """
    check_enough((image for image, _ in images), classes, budget)
    order = sorted(images, key=lambda pair: rank(seed, pair[0].source))
    chosen: list[Pair] = []
    taken: set[str] = set()
    for name in classes:
        showing = [pair for pair in order if pair[0].shows(name)]
        # Where boards show all classes, every image may be taken: then it counts.
        fresh = [pair for pair in showing if pair[0].source not in taken]
        for image, path in within(fresh, budget, share_of, name):
            taken.add(image.source)
            chosen.append((replace(image, kept_for=name), path))
    return chosen


def within(
    images: Sequence[Pair], budget: Budget, share_of: int, name: str
) -> list[Pair]:
    """The first images of a class that its part of the budget has room for.

    Args:
        images: Of one class, in order.
        budget: What may be kept.
        share_of: Number of classes that share a budget in megabytes.
        name: The class.

    Raises:
        ValueError: Not one fits.
    """
    if budget.number is not None:
        return list(images[: budget.number])
    room = float(budget.images_mb or 0) * 1e6 / share_of
    kept: list[Pair] = []
    for pair in images:
        room -= pair[0].bytes
        if room < 0:
            break
        kept.append(pair)
    if images and not kept:
        least = images[0][0].bytes * share_of / 1e6
        raise ValueError(
            f'stream.memory.images_mb={budget.images_mb}: expected at least '
            f'{least:.3g} to keep one image of {name} and as much of each of '
            f'{share_of} classes; raise it, or leave stream.memory out'
        )
    return kept


def rank(seed: int, name: str) -> bytes:
    """What to sort by for a choice that hangs on seed and name alone."""
    return hashlib.sha256(f'{seed},{name}'.encode()).digest()


def still_kept(
    folder: Path, *, classes: Sequence[str], budget: Budget, share_of: int
) -> list[Pair]:
    """What stays of an earlier memory when more classes share the budget.

    Args:
        folder: Of the earlier memory.
        classes: That it has to be of.
        budget: What may be kept.
        share_of: Number of classes that share a budget in megabytes.

    Raises:
        FileNotFoundError: It, or a file of it, is gone.
        ValueError: A file has changed, it is of other classes, or smaller than asked.
    """
    memory = read_memory(folder, classes)
    if any((kind in memory.budget) != (kind in budget.asked) for kind in _APART):
        raise ValueError(
            f'{folder} holds {memory.budget}: expected what stream.memory='
            f'{budget.asked} keeps; images, crops and drawn images do not replace '
            'each other'
        )
    check_enough(memory.images, classes, budget)
    found = []
    for name in classes:
        pairs = [(i, folder / i.file) for i in memory.images if i.kept_for == name]
        found += within(pairs, budget, share_of, name)
    return found


def keep(
    folder: Path,
    kept: Sequence[Pair],
    *,
    step: int,
    classes: Sequence[str],
    budget: Budget,
    seed: int,
) -> Memory:
    """Write the memory of a step; see :func:`write_memory`."""
    memory = Memory(
        step=step,
        classes=list(classes),
        budget=budget.rules,
        seed=seed,
        images=[image for image, _ in kept],
    )
    files = [file.png() if isinstance(file, Cut) else file for _, file in kept]
    return write_memory(folder, memory, files)


def kept_already(
    folder: Path, *, step: int, classes: Sequence[str], budget: Budget, seed: int
) -> Memory | None:
    """Read the memory that a step has left, if it has.

    Raises:
        FileNotFoundError: A file of it is gone.
        ValueError: A file has changed, or it was chosen by other rules.
    """
    if not (folder / MANIFEST).is_file():
        return None
    memory = read_memory(folder, classes)
    for what, found, wanted in (
        ('step', memory.step, step),
        ('stream.memory', memory.budget, budget.rules),
        ('randomness.seed', memory.seed, seed),
    ):
        if found != wanted:
            raise ValueError(
                f'{folder / MANIFEST} was chosen with {what}={found}: expected '
                f'{wanted}; undo the change or use another --work-dir'
            )
    return memory


def drafts_of(folder: Path) -> Path:
    """Where a drawing that was interrupted finds what it had finished."""
    return folder.with_name('drawing')


def forget_drafts(folder: Path) -> None:
    """Remove the drafts of a memory that is written."""
    shutil.rmtree(drafts_of(folder), ignore_errors=True)
