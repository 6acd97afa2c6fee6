"""Images with index masks, for scoring filters by what they see of an object."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmengine.logging import print_log

from mmdefect.datasets.cached import CachedImages
from mmdefect.datasets.images import check_settings, detect_bits
from mmdefect.datasets.index_masks.pairs import Pair, pair_files, size_error
from mmdefect.datasets.transforms.index_mask import (
    MAX_ID,
    holds_ids,
    ids_of,
    object_pixels,
    read_mask,
)
from mmdefect.registry import DATASETS
from mmdefect.utils.checks import name_some


@DATASETS.register_module()
class PairedMaskDataset(CachedImages):
    """Segmented images, paired as :mod:`mmdefect.datasets.index_masks.pairs` says.

    A data info holds ``img_path``, ``mask_path``, ``name``, ``width`` and ``height`` of
    the mask, and ``object_ids`` (mask ids that count as object; None for all above 0).
    ``mmdefect.LoadIndexMask`` reads the mask. Nothing is left out: what cannot be used
    is refused.

    Args:
        target_classes: Mask ids, or names of ``metainfo['mask_classes']``, that count
            as object; None for every id above 0. Binary masks hold the id 1. Each must
            occur in at least one mask of the folder.
        allow_empty: Whether to take images whose mask shows no object; they are
            background.
        data_prefix: Folders of images (``img``) and masks (``mask``) below
            ``data_root``. FTL's own layout: ``dict(img='Images', mask='Segmented')``.
        metainfo: May hold ``mask_classes``: names of the ids from 1 on, or a mapping
            from name to id, as in the ``classes.json`` of the converters.
        exif: Which pixels of images with an EXIF orientation the masks lie on,
            ``'stored'`` or ``'turned'``; by default the size of the mask says, and one
            that fits both is refused.
        bits: How many bits 16-bit images use, 8 to 16; by default 12 if no image has a
            value above 4095, else 16.
        kwargs: As for MMEngine's ``BaseDataset``: ``data_root``, ``pipeline``,
            ``indices``, ``lazy_init`` and so on.

    Raises:
        FileNotFoundError: If a folder is not there.
        ValueError: If files are unpaired, unreadable, of other sizes or no index masks,
            masks are empty, or a class is unknown or occurs in no mask.

    Example:
        >>> dict(type='mmdefect.PairedMaskDataset', data_root='data/toy/cracks/train',
        ...      metainfo=dict(mask_classes=('crack', 'pore', 'dirt')),
        ...      target_classes=('crack',))  # doctest: +SKIP
    """

    METAINFO: ClassVar[dict[str, Any]] = {'classes': ('object', 'background')}
    cache_gb = 0.0

    def __init__(
        self,
        *,
        target_classes: Sequence[int | str] | None = None,
        allow_empty: bool = False,
        data_prefix: Mapping[str, str] | None = None,
        metainfo: Mapping[str, Any] | None = None,
        exif: str | None = None,
        bits: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_settings(exif=exif, bits=bits)
        self.exif = exif
        self.bits = bits
        self._cache: dict[str, np.ndarray] = {}
        prefix = dict(data_prefix or {'img': 'images', 'mask': 'masks'})
        if set(prefix) != {'img', 'mask'}:
            raise ValueError(
                f'data_prefix={prefix}: expected img and mask, the folders of images '
                'and of masks'
            )
        names = (metainfo or {}).get('mask_classes')
        self.object_ids = resolve_ids(target_classes, names)
        self.allow_empty = allow_empty
        super().__init__(data_prefix=prefix, metainfo=metainfo, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Pair the files and look at every mask.

        Returns:
            Data infos, sorted by name.
        """
        images, masks = (Path(self.data_prefix[key]) for key in ('img', 'mask'))
        pairs = pair_files(images, masks)
        shapes = self._check_masks(pairs)
        paths = [pair.image for pair in pairs]
        bits = detect_bits(paths, name=self.data_root, bits=self.bits)
        how = {'exif': self.exif, 'bits': bits}
        how = {key: value for key, value in how.items() if value is not None}
        return [
            {
                'img_path': str(pair.image),
                'mask_path': str(pair.mask),
                'name': pair.name,
                'object_ids': self.object_ids,
                'width': width,
                'height': height,
                **how,
            }
            for pair, (height, width) in zip(pairs, shapes, strict=True)
        ]

    def _check_masks(self, pairs: Sequence[Pair]) -> list[tuple[int, ...]]:
        """Decode all masks once: seconds, against hours of scoring on a wrong one.

        Returns:
            Height and width of each.
        """
        wrong, empty, shapes = [], [], []
        seen: Counter[int] = Counter()
        for pair in pairs:
            mask = read_mask(pair.mask)
            shapes.append(mask.shape)
            if why := size_error(pair, mask, exif=self.exif):
                wrong.append(why)
            # Grey values may be all object: whether they are is LoadIndexMask's to say.
            if self.object_ids is not None or holds_ids(mask):
                mask = ids_of(mask, name=f'the mask {pair.mask}')
            seen.update(np.unique(mask).tolist())
            if not object_pixels(mask, self.object_ids).any():
                empty.append(str(pair.mask))
        where = f'{type(self).__name__} {self.data_root}'
        if wrong:
            raise ValueError(
                f'{where}: masks do not fit their images ({name_some(wrong)}): '
                'expected the size of the image; save them again, or say with exif '
                'what an EXIF orientation means'
            )
        self._check_classes(where, seen)
        if empty and not self.allow_empty:
            raise ValueError(
                f'{where}: masks without an object ({name_some(empty)}): expected '
                'some in each; draw it, remove the images, or take them as background '
                'with allow_empty=True'
            )
        print_log(
            f'{where}: {len(pairs)} segmented images, {len(empty)} of them without an '
            'object.',
            logger='current',
        )
        return shapes

    def _check_classes(self, where: str, seen: Mapping[int, int]) -> None:
        absent = [number for number in self.object_ids or () if not seen.get(number)]
        if absent:
            there = ', '.join(str(number) for number in sorted(seen) if number)
            raise ValueError(
                f'{where}: target_classes={list(self.object_ids or ())} names '
                f'{", ".join(map(str, absent))}, which occur in no mask: expected ids '
                f'that do ({there or "there are none"})'
            )


def resolve_ids(
    targets: Sequence[int | str] | None,
    names: Sequence[str] | Mapping[str, int] | None = None,
) -> tuple[int, ...] | None:
    """Mask ids of classes, sorted, each once; None, every id above 0, as given.

    Args:
        targets: Ids or names.
        names: Names of the ids from 1 on, or name -> id.

    Raises:
        ValueError: If there is none, a name is unknown, or an id is out of range.
    """
    if targets is None:
        return None
    if isinstance(names, Mapping):
        known = {str(name): int(number) for name, number in names.items()}
    elif isinstance(names, str):
        known = {}
    else:
        known = {str(name): number for number, name in enumerate(names or (), 1)}
    found = set()
    for target in [targets] if isinstance(targets, str) else targets:
        number = known.get(target) if isinstance(target, str) else target
        if number is None:
            there = ', '.join(known) or 'no name at all, as there are no mask_classes'
            raise ValueError(
                f'target_classes names {target!r}: expected one of {there}; correct '
                'it, give its mask id, or set metainfo=dict(mask_classes=...)'
            )
        sound = isinstance(number, int) and not isinstance(number, bool)
        if not sound or not 1 <= number <= MAX_ID:
            raise ValueError(
                f'target_classes={targets!r} holds {number!r}: expected mask ids from '
                f'1 (the object of a binary mask) to {MAX_ID}'
            )
        found.add(number)
    if not found:
        raise ValueError(
            f'target_classes={targets!r}: expected at least one mask id or name, or '
            'None for every id above 0'
        )
    return tuple(sorted(found))
