"""Which images validate: drawn class by class, identical files kept in training."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmdefect.converters.coco import ImageRecord
from mmdefect.utils.checks import check_range
from mmdefect.utils.files import identical_files

VAL_SHARE = 0.2
"""Share of the images that validates where nothing else is said."""


def twins(root: Path, names: Iterable[str]) -> list[list[str]]:
    """Files with the same bytes, as groups of two or more names."""
    there = {path: name for name in names if (path := root / name).is_file()}
    return [sorted(there[path] for path in group) for group in identical_files(there)]


def draw_val(
    records: Sequence[ImageRecord],
    *,
    share: float = VAL_SHARE,
    seed: int = 0,
    train_only: Iterable[str] = (),
) -> set[str]:
    """Draw validation images, so that every class has about its share among them.

    Images are taken class by class, the rarest first, each image with the rarest of
    its classes; good images among themselves. At least one image is drawn, and of those
    that are drawn among themselves at least one is left for training.

    Args:
        records: All images.
        share: Of the images, more than 0 and less than 1.
        seed: Seed of the draw.
        train_only: Names that stay in training, such as identical twins.

    Returns:
        File names.
    """
    check_range('val_share', share, 0, 1, open_low=True, open_high=True)
    shown_in = Counter(n for r in records for n in {name for name, _ in r.objects})
    groups: dict[str, list[str]] = defaultdict(list)
    for record in records:
        names = {name for name, _ in record.objects}
        rarest = min(names, key=lambda name: (shown_in[name], name), default='')
        groups[rarest].append(record.file_name)
    fixed = set(train_only)
    generator = random.Random(seed)  # noqa: S311  a seeded draw
    drawn: set[str] = set()
    for key in sorted(groups, key=lambda key: (shown_in[key], key)):
        free = sorted(set(groups[key]) - fixed)
        number = round(share * len(groups[key]))
        # One of two or more: a class that is never validated has no score.
        number = max(number, int(len(groups[key]) > 1))
        number = min(number, len(groups[key]) - 1, len(free))
        drawn.update(generator.sample(free, number))
    if not drawn and len(records) > 1:
        free = sorted({r.file_name for r in records} - fixed)
        drawn.update(free[:1])
    return drawn
