"""Castings seen from above, defective or ok: the data of the classifier study."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmengine.logging import print_log

from mmdefect.datasets.cached import CachedImages
from mmdefect.datasets.casting.layout import (
    CASTING_CLASSES,
    DEFECTIVE,
    CastingScan,
    broken_images,
    scan_originals,
    scan_vendor,
)
from mmdefect.datasets.casting.masks import COLOUR_MASK, match_masks
from mmdefect.datasets.casting.split import (
    PROTOCOLS,
    SUBSETS,
    SplitRow,
    changed_files,
    committed_rows,
    difference,
    legacy_split,
    read_split,
    split_file_name,
)
from mmdefect.datasets.images import refuse
from mmdefect.datasets.index_masks.pixels import mask_notes
from mmdefect.registry import DATASETS
from mmdefect.utils.checks import check_choice, name_some

_MAKE = 'python tools/dataset_converters/casting.py {root} --protocol {protocol}'


@DATASETS.register_module()
class CastingDataset(CachedImages):
    """Pump impellers in the vendor's folders, class 0 defective and class 1 ok.

    A data info holds ``img_path``, ``gt_label`` (0 defective, 1 ok), ``cluster`` (which
    photograph it shows; None in the vendor's split) and ``mask_path`` (None where the
    defect is not outlined).

    Protocols:

    - ``cluster_level``: the 300x300 images, all siblings of a photograph in one subset;
      70/10/20 % of the photographs of each class.
    - ``part_level``: the same for the 512x512 originals, which the vendor did not
      augment.
    - ``legacy``: the vendor's split, for comparison with published numbers only: nearly
      every test image has siblings in train. Validation is 10 % of its train split.

    Args:
        split: ``'train'``, ``'val'`` or ``'test'``.
        protocol: See above.
        split_file: Split file (see :mod:`mmdefect.datasets.casting.split`), relative to
            ``data_root``. By default ``casting_<protocol>.csv`` in ``data_root`` if it
            is there, else the one of the vendor's images in this package.
        mask_dir: Folder with outlines of defects (see
            :mod:`mmdefect.datasets.casting.masks`), relative to ``data_root``.
        cache_gb: Memory for decoded images in gigabytes; 0 for none. The pipeline
            starts with ``LoadImageFromFile`` or ``mmdefect.LoadCachedImage``.
        verify: Whether to look at every image of the subset at the start: hashes are
            compared with those of the split file; without one, images that are not the
            vendor's are decoded.
        kwargs: As for MMEngine's ``BaseDataset``: ``data_root``, ``pipeline``,
            ``lazy_init`` and so on. ``test_mode`` follows ``split`` unless it is given.

    Raises:
        ValueError: If a class folder is missing or empty, holds other files, images
            are broken or differ from the split file, or a mask matches no image.
        FileNotFoundError: If ``data_root``, a split file or ``mask_dir`` is not there.

    Example:
        >>> dict(type='mmdefect.CastingDataset', data_root='data/casting_data/',
        ...      split='train', cache_gb=2.0)  # doctest: +SKIP
    """

    METAINFO: ClassVar[dict[str, Any]] = {'classes': CASTING_CLASSES}

    def __init__(
        self,
        *,
        split: str = 'train',
        protocol: str = 'cluster_level',
        split_file: str | None = None,
        mask_dir: str | None = None,
        cache_gb: float = 0.0,
        verify: bool = True,
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, SUBSETS)
        check_choice('protocol', protocol, PROTOCOLS)
        if protocol == 'legacy' and split_file is not None:
            raise ValueError(
                f"split_file={split_file!r}: expected None with protocol='legacy', as "
                "the vendor's folders are the split"
            )
        self.split = split
        self.protocol = protocol
        self.split_file = split_file
        self.mask_dir = mask_dir
        self.cache_gb = cache_gb
        self.verify = verify
        self._source = "the vendor's folders"
        self._cache: dict[str, np.ndarray] = {}
        kwargs.setdefault('test_mode', split != 'train')
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Find the images, check them, and choose those of the subset.

        Returns:
            Data infos: the vendor's train first, by class and name.
        """
        root = Path(self.data_root)
        scan = scan_originals if self.protocol == 'part_level' else scan_vendor
        found = scan(root)
        self._refuse(found.errors)
        rows = self._rows(found, root)
        masks = {}
        if self.mask_dir is not None:
            masks = match_masks(root / self.mask_dir, found.images)
        images = [i for i in found.images if rows[i.name].split == self.split]
        if self.verify:
            self._verify([rows[image.name] for image in images], found.folder)
        data_list = [
            {
                'img_path': str(found.path(image)),
                'gt_label': image.label,
                'cluster': None if self.protocol == 'legacy' else rows[image.name][2],
                'mask_path': str(masks[image.name]) if image.name in masks else None,
            }
            for image in images
        ]
        self._report(data_list)
        if self.verify:
            self._warn(masks[i.name] for i in images if i.name in masks)
        return data_list

    def _warn(self, masks: Iterable[Path]) -> None:
        """Name outlines that are odd; colours say in another way what they are."""
        grey = (path for path in masks if not path.stem.endswith(COLOUR_MASK))
        for note in mask_notes(grey):
            print_log(
                f'{type(self).__name__} {self.data_root}: {note}.',
                logger='current',
                level=logging.WARNING,
            )

    def _rows(self, found: CastingScan, root: Path) -> dict[str, SplitRow]:
        """The row of every image; the vendor's split knows no clusters."""
        if self.protocol == 'legacy':
            known = {row.path: row.sha256 for row in committed_rows()}
            return {
                name: SplitRow(name, known.get(name, ''), 0, split)
                for name, split in legacy_split(found.images).items()
            }
        make = _MAKE.format(root=self.data_root, protocol=self.protocol)
        near = root / (self.split_file or split_file_name(self.protocol))
        if near.is_file() or self.split_file is not None:
            source, rows = str(near), read_split(near)
        elif self.protocol == 'part_level':
            raise FileNotFoundError(
                f'there is no split file {near}: expected one of the 512x512 '
                f'originals; make it with {make}'
            )
        else:
            source, rows = 'the split file of the package', committed_rows()
        if differs := difference(rows, found.images):
            self._refuse(
                [
                    f'the folder {found.folder} {differs} ({source}): expected '
                    'exactly the same images; unpack them again, or make a split with '
                    f'{make}'
                ]
            )
        self._source = source
        return {row.path: row for row in rows}

    def _verify(self, rows: list[SplitRow], folder: Path) -> None:
        changed = changed_files(rows, folder)
        if changed and self.protocol != 'legacy':
            self._refuse(
                [
                    'images differ from those of the split file '
                    f'({name_some(changed)}): expected the same bytes; restore them, '
                    'or make a split of your own'
                ]
            )
        # Decoding takes ten times as long as hashing: only what is not known as sound.
        self._refuse(broken_images(folder, changed))

    def _refuse(self, errors: list[str]) -> None:
        refuse(errors, where=f'{type(self).__name__} {self.data_root}')

    def _report(self, data_list: list[dict[str, Any]]) -> None:
        labels = Counter(info['gt_label'] for info in data_list)
        counts = ', '.join(f'{c} {labels[n]}' for n, c in enumerate(CASTING_CLASSES))
        name = f'{type(self).__name__} {self.data_root} {self.protocol} {self.split}'
        outlined = sum(info['mask_path'] is not None for info in data_list)
        masks = f', {outlined} outlined' if self.mask_dir is not None else ''
        print_log(
            f'{name}: {counts} images{masks}, split by {self._source}.',
            logger='current',
        )
        if self.mask_dir is not None and labels[DEFECTIVE] and not outlined:
            print_log(
                f'{name}: no mask of {self.mask_dir} belongs to this subset, so there '
                'is nothing to localise.',
                logger='current',
                level=logging.WARNING,
            )
