"""Segmented images to patches with and without the object, for a classifier.

::

    root/train/{images,masks}    ->  out/train/{background,crack}/<source>_<y>_<x>.png
    root/val, root/test              out/train.txt   crack/<source>_<y>_<x>.png 0
    or root/{images,masks}           out/patches.json

Patches of one image are in one subset only. The lists give classes their numbers:
mmpretrain numbers folders by the alphabet, which would make background the defective
class 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmdefect.converters.patch_grid import Settings, shares_on_grid
from mmdefect.datasets.images import detect_bits
from mmdefect.datasets.index_masks.pairs import Pair, pair_files, size_error
from mmdefect.datasets.transforms.index_mask import (
    FULL,
    ids_of,
    object_pixels,
    read_mask,
)
from mmdefect.utils.files import new_folder, write_json
from mmdefect.utils.images import read_bgr, write_png

CLASSES = ('crack', 'background')
"""In label order: 0 is the defective class."""
SUBSETS = ('train', 'val', 'test')
SHARES = (0.6, 0.2, 0.2)
"""Of train, val and test, where the folders say nothing."""


@dataclass(frozen=True)
class Patch:
    """A patch that may be written: where it is, and its share of object pixels."""

    pair: Pair
    stem: str
    y: int
    x: int
    share: float


@dataclass
class Subset:
    """What a subset holds.

    Args:
        images: Number of source images.
        found: Class -> number of patches on the grid; ``'dropped'`` those between.
        chosen: Class -> patches to write, as many of each.
    """

    images: int = 0
    found: Counter[str] = field(default_factory=Counter)
    chosen: dict[str, list[Patch]] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """Numbers, for people and JSON."""
        found = {key: self.found[key] for key in (*CLASSES, 'dropped')}
        chosen = {name: len(patches) for name, patches in self.chosen.items()}
        return {'images': self.images, 'on the grid': found, 'written': chosen}


def plan_patches(root: Path, settings: Settings) -> dict[str, Subset]:
    """Look at all images and choose the patches of each subset; nothing is written.

    Args:
        root: Folder with ``train``, ``val`` and ``test``, or one of them, or with
            ``images`` and ``masks``.
        settings: How patches are cut.

    Raises:
        ValueError: If images and masks do not belong together, an image is smaller than
            a patch, two would give patches of one name, or a subset lacks a class.
    """
    plan = {}
    for number, (name, pairs) in enumerate(_sources(root, settings).items()):
        subset = Subset(images=len(pairs))
        rng = np.random.default_rng([settings.seed, number])
        groups = _cut(pairs, settings)
        for label in (*CLASSES, 'dropped'):
            subset.found[label] = len(groups[label])
        few = min(len(groups[label]) for label in CLASSES)
        if not few:
            lacking = [label for label in CLASSES if not groups[label]]
            _check_ids(pairs, settings)
            raise ValueError(
                f'the images of {name} ({len(pairs)}) give no patch of the class '
                f'{" and ".join(lacking)}: expected some of each; use more images, '
                'another split, or smaller patches'
            )
        for label in CLASSES:
            own = groups[label]
            kept = sorted(rng.choice(len(own), few, replace=False).tolist())
            subset.chosen[label] = [own[i] for i in kept]
        plan[name] = subset
    return plan


def _check_ids(pairs: Sequence[Pair], settings: Settings) -> None:
    """Ids that no mask has are the likeliest reason for no patch."""
    there: set[int] = set()
    for pair in pairs:
        there |= set(np.unique(read_mask(pair.mask)).tolist())
    wanted = set(settings.object_ids or ())
    if wanted - there:
        raise ValueError(
            f'no mask has the ids {sorted(wanted - there)}: expected some of '
            f'{sorted(there)}; correct --target-ids'
        )


def _sources(root: Path, settings: Settings) -> dict[str, list[Pair]]:
    """The images of each subset."""
    there = [name for name in SUBSETS if (root / name).is_dir()]
    flat = any((root / name).is_dir() for name in ('images', 'masks'))
    if bool(there) == flat:
        what = f'{", ".join(there)} beside images or masks' if flat else 'neither'
        raise ValueError(
            f'{root} has {what}: expected either some of {", ".join(SUBSETS)} with '
            'images and masks in each, or images and masks alone; check the path'
        )
    if there and settings.shares:
        raise ValueError(
            f'{root} is split already ({", ".join(there)}) and a split is asked for: '
            'expected one of both; leave out --split'
        )
    if there:
        return {n: pair_files(root / n / 'images', root / n / 'masks') for n in there}
    pairs = pair_files(root / 'images', root / 'masks')
    return _share_out(pairs, settings.shares or SHARES, settings.seed)


def _share_out(
    pairs: Sequence[Pair], shares: Sequence[float], seed: int
) -> dict[str, list[Pair]]:
    """Whole images to subsets; a share of 0 gives no subset."""
    ends = np.rint(np.cumsum(shares) * len(pairs)).astype(int).tolist()
    order = np.random.default_rng(seed).permutation(len(pairs)).tolist()
    found = {}
    begin = 0
    for name, share, end in zip(SUBSETS, shares, ends, strict=True):
        if share:
            found[name] = [pairs[i] for i in sorted(order[begin:end])]
        begin = end
    return found


def _cut(pairs: Sequence[Pair], settings: Settings) -> dict[str, list[Patch]]:
    """All patches of some images, by what they show."""
    groups: dict[str, list[Patch]] = {label: [] for label in (*CLASSES, 'dropped')}
    owner: dict[str, Pair] = {}
    for pair in pairs:
        stem = pair.name.replace('/', '_')
        other = owner.setdefault(stem, pair)
        if other is not pair:
            raise ValueError(
                f'{other.image} and {pair.image} would give patches of one name, '
                f'{stem}_<y>_<x>.png: expected different ones; rename an image'
            )
        for y, x, share in shares_on_grid(_object(pair, settings), settings):
            found = 'background'
            if share > 0:
                found = 'crack' if share >= settings.min_share else 'dropped'
            groups[found].append(Patch(pair, f'{stem}_{y}_{x}', y, x, share))
    return groups


def _object(pair: Pair, settings: Settings) -> np.ndarray:
    """Where the object of an image is, boolean, shape (H, W)."""
    mask = read_mask(pair.mask)
    if why := size_error(pair, mask, exif=settings.exif):
        raise ValueError(
            f'a mask does not fit its image ({why}): expected equal sizes; correct '
            'the mask, or say with --exif what images with an EXIF orientation mean'
        )
    if min(mask.shape) < settings.size:
        raise ValueError(
            f'{pair.image} is {mask.shape[1]}x{mask.shape[0]}: expected at least one '
            f'patch of {settings.size} pixels in each direction; make --size smaller'
        )
    ids = ids_of(mask, name=f'the mask {pair.mask}')
    return object_pixels(ids, settings.object_ids)


def write_patches(
    plan: dict[str, Subset], out: Path, settings: Settings, **about: Any
) -> None:
    """Write patches, lists and ``patches.json``; the folder gets its name at the end.

    Args:
        plan: See :func:`plan_patches`.
        out: New or empty folder.
        settings: The same.
        about: What else to note in ``patches.json``.
    """
    images = [
        patch.pair.image
        for subset in plan.values()
        for patches in subset.chosen.values()
        for patch in patches
    ]
    bits = detect_bits(images, name=str(out))
    with new_folder(out) as part:
        for name, subset in plan.items():
            for label, patches in subset.chosen.items():
                _write_class(part, f'{name}/{label}', patches, settings, bits=bits)
            lines = [
                f'{label}/{patch.stem}.png {number}\n'
                for number, label in enumerate(CLASSES)
                for patch in subset.chosen[label]
            ]
            (part / f'{name}.txt').write_text(''.join(lines), encoding='utf-8')
        note = {
            **about,
            'classes': CLASSES,
            'arguments': vars(settings),
            'subsets': {name: subset.counts() for name, subset in plan.items()},
        }
        write_json(part / 'patches.json', note)


def _write_class(
    part: Path,
    place: str,
    patches: Sequence[Patch],
    settings: Settings,
    *,
    bits: int | None,
) -> None:
    """Write the patches of one class; sources are decoded once, as they are sorted."""
    image: np.ndarray = np.empty(0)
    inside: np.ndarray = np.empty(0)
    last: Pair | None = None
    for patch in patches:
        if patch.pair is not last:
            last = patch.pair
            inside = _object(last, settings).astype(np.uint8) * np.uint8(FULL)
            size = inside.shape[1], inside.shape[0]
            image = read_bgr(last.image, size=size, exif=settings.exif, bits=bits)
        window = (
            slice(patch.y, patch.y + settings.size),
            slice(patch.x, patch.x + settings.size),
        )
        write_png(part / place / f'{patch.stem}.png', image[window])
        if settings.masks:
            write_png(part / 'masks' / place / f'{patch.stem}.png', inside[window])
