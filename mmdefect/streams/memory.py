"""What a stream of boxes keeps at the end of a step, within a stated budget."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mmdefect.datasets.boxes.memory_file import (
    MANIFEST,
    Memory,
    Remembered,
    read_memory,
    write_memory,
)
from mmdefect.utils.checks import check_number

KINDS = ('images', 'images_mb')


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be kept; one of ``images`` and ``images_mb``.

    Attributes:
        images: Whole images of each class.
        images_mb: Megabytes (10^6 bytes) of image files in all, shared by the classes
            alike: with every step each class has less.
        share: Share of a training batch that is remembered images; the step's own
            images are as many as ``batch_size`` says, so a batch of 8 becomes one of
            10 by 0.2.
        start_from: Folder of a memory that stands for that of step 0, such as the last
            one of another stream.
    """

    images: int | None = None
    images_mb: float | None = None
    share: float = 0.2
    start_from: str | None = None

    @property
    def asked(self) -> dict[str, Any]:
        """The kind and its size, as the config says it."""
        return {k: getattr(self, k) for k in KINDS if getattr(self, k) is not None}

    def replayed(self, batch_size: int) -> int:
        """Remembered images beside a batch of this many own ones; at least one."""
        return max(1, round(batch_size * self.share / (1 - self.share)))


def budget_of(settings: Mapping[str, Any] | None) -> Budget | None:
    """Read ``stream.memory``.

    Returns:
        None where nothing is kept.

    Raises:
        ValueError: It names no kind, two kinds, an unknown setting, or less than one
            image a class.
    """
    if settings is None:
        return None
    known = [field.name for field in fields(Budget)]
    if unknown := [name for name in settings if name not in known]:
        raise ValueError(
            f'stream.memory.{unknown[0]}: expected one of {", ".join(known)}; correct '
            'it, or leave stream.memory out to keep nothing'
        )
    budget = Budget(**settings)
    if len(budget.asked) != 1:
        found = ', '.join(budget.asked) or 'none'
        raise ValueError(
            f'stream.memory={dict(settings)}: expected one of {" and ".join(KINDS)}, '
            f'found {found}; keep one kind, or leave stream.memory out to keep nothing'
        )
    if budget.images is not None:
        check_number('stream.memory.images', budget.images, 1, whole=True)
    else:
        check_number('stream.memory.images_mb', budget.images_mb, 0)
    check_number('stream.memory.share', budget.share, 0.01, 0.9)
    return budget


def seen_in(dataset: Any, step: int) -> list[tuple[Remembered, Path]]:
    """All images of a step's training set as what could be kept of it.

    Args:
        dataset: A :class:`mmdefect.datasets.boxes.dataset.DefectDetDataset`.
        step: Number of the step.
    """
    names = dataset.metainfo['classes']
    root = Path((getattr(dataset, 'data_prefix', None) or {}).get('img') or '.')
    found = []
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
            source=(
                path.relative_to(root) if path.is_relative_to(root) else path
            ).as_posix(),
            width=info['width'],
            height=info['height'],
            boxes=boxes,
            reading={k: info[k] for k in ('exif', 'bits') if k in info},
            bytes=path.stat().st_size,
        )
        found.append((image, path))
    return found


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
    if budget.images is not None and shown[fewest] < budget.images:
        raise ValueError(
            f'stream.memory.images={budget.images}: expected at most '
            f'{shown[fewest]}, the images that show {fewest}; lower it, or give its '
            'step more images'
        )


def choose(
    images: Sequence[tuple[Remembered, Path]],
    *,
    classes: Sequence[str],
    budget: Budget,
    seed: int,
    share_of: int,
) -> list[tuple[Remembered, Path]]:
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
    order = sorted(images, key=lambda pair: _rank(seed, pair[0].source))
    chosen: list[tuple[Remembered, Path]] = []
    taken: set[str] = set()
    for name in classes:
        showing = [pair for pair in order if pair[0].shows(name)]
        # Where boards show all classes, every image may be taken: then it counts.
        fresh = [pair for pair in showing if pair[0].source not in taken]
        for image, path in within(fresh, budget, share_of, name):
            taken.add(image.source)
            chosen.append((Remembered(**{**vars(image), 'kept_for': name}), path))
    return chosen


def within(
    images: Sequence[tuple[Remembered, Path]], budget: Budget, share_of: int, name: str
) -> list[tuple[Remembered, Path]]:
    """The first images of a class that its part of the budget has room for.

    Args:
        images: Of one class, in order.
        budget: What may be kept.
        share_of: Number of classes that share a budget in megabytes.
        name: The class.

    Raises:
        ValueError: Not one fits.
    """
    if budget.images is not None:
        return list(images[: budget.images])
    room = float(budget.images_mb or 0) * 1e6 / share_of
    kept: list[tuple[Remembered, Path]] = []
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


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f'{seed},{name}'.encode()).digest()


def still_kept(
    folder: Path, *, classes: Sequence[str], budget: Budget, share_of: int
) -> list[tuple[Remembered, Path]]:
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
    check_enough(memory.images, classes, budget)
    found = []
    for name in classes:
        pairs = [(i, folder / i.file) for i in memory.images if i.kept_for == name]
        found += within(pairs, budget, share_of, name)
    return found


def keep(
    folder: Path,
    kept: Sequence[tuple[Remembered, Path]],
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
        budget=budget.asked,
        seed=seed,
        images=[image for image, _ in kept],
    )
    return write_memory(folder, memory, [path for _, path in kept])


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
        ('stream.memory', memory.budget, budget.asked),
        ('randomness.seed', memory.seed, seed),
    ):
        if found != wanted:
            raise ValueError(
                f'{folder / MANIFEST} was chosen with {what}={found}: expected '
                f'{wanted}; undo the change or use another --work-dir'
            )
    return memory
