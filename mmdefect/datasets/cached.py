"""Data sets that keep decoded images in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmdefect.datasets.images import fill_cache


class CachedImages(BaseDataset):
    """Gives ``mmdefect.LoadCachedImage`` the images that fit into ``cache_gb``.

    A subclass names this class first and sets ``cache_gb``, in gigabytes, 0 for none,
    and an empty ``_cache`` before it initialises its bases.
    """

    cache_gb: float
    _cache: dict[str, np.ndarray]

    def full_init(self) -> None:
        """Load all that the data set is made of, then cache; see it for errors."""
        if self._fully_initialized:
            return
        super().full_init()
        if self.cache_gb > 0:
            infos = [self.get_data_info(i) for i in range(len(self))]
            self._cache = fill_cache(infos, max_bytes=int(self.cache_gb * 1e9))
            print_log(
                f'{type(self).__name__}: {len(self._cache)} of {len(infos)} images '
                f'cached within {self.cache_gb:g} GB.',
                logger='current',
            )

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return the data info of an image, with ``img_cached`` if it is cached."""
        info = super().get_data_info(idx)
        if info['img_path'] in self._cache:
            info['img_cached'] = self._cache[info['img_path']]
        return info
