"""Datasets that keep decoded images in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmdefect.datasets.images import fill_cache

STOCK_LOADER = 'LoadImageFromFile'


class CachedImages(BaseDataset):
    """Gives ``mmdefect.LoadCachedImage`` the images that fit into ``cache_gb``.

    A stock ``LoadImageFromFile`` at the head of the pipeline becomes that loader, so
    that configs hold the name which OpenMMLab's inferencers look for.

    A subclass names this class first and sets ``cache_gb``, in gigabytes, 0 for none,
    and an empty ``_cache`` before it initialises its bases. What it has decoded to
    check its files, up to ``_max_bytes``, it may leave as ``_decoded``.
    """

    cache_gb: float
    _cache: dict[str, np.ndarray]
    _decoded: dict[str, np.ndarray] | None = None

    def __init__(self, *args: Any, pipeline: Sequence[Any] = (), **kwargs: Any) -> None:
        super().__init__(*args, pipeline=with_our_loader(pipeline), **kwargs)

    def full_init(self) -> None:
        """Load all that the dataset is made of, then cache; see it for errors."""
        if self._fully_initialized:
            return
        super().full_init()
        if self.cache_gb > 0:
            infos = [self.get_data_info(i) for i in range(len(self))]
            self._cache = fill_cache(
                infos, max_bytes=self._max_bytes, decoded=self._decoded
            )
            self._decoded = None
            print_log(
                f'{type(self).__name__}: {len(self._cache)} of {len(infos)} images '
                f'cached within {self.cache_gb:g} GB.',
                logger='current',
            )

    @property
    def _max_bytes(self) -> int:
        return int(self.cache_gb * 1e9)

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return the data info of an image, with ``img_cached`` if it is cached."""
        info = super().get_data_info(idx)
        if info['img_path'] in self._cache:
            info['img_cached'] = self._cache[info['img_path']]
        return info


def with_our_loader(pipeline: Sequence[Any]) -> list[Any]:
    """Replace a stock image loader at the head of a pipeline, its arguments kept."""
    head, *rest = pipeline or [None]
    if not isinstance(head, dict):
        return list(pipeline)
    kind = head['type']
    name = kind if isinstance(kind, str) else kind.__name__
    if name.rpartition('.')[2] == STOCK_LOADER:
        head = {**head, 'type': 'mmdefect.LoadCachedImage'}
    return [head, *rest]
