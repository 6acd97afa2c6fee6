"""Loading an image from memory when the data set has it there."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile

from mmdefect.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadCachedImage(LoadImageFromFile):
    """``LoadImageFromFile`` that takes ``results['img_cached']`` when it is there.

    The cached image is copied: transforms may write into theirs. A file that cannot be
    decoded raises and is never replaced by another image in silence.

    Args:
        kwargs: As for mmcv's ``LoadImageFromFile``, without ``ignore_empty``.

    Raises:
        TypeError: If ``ignore_empty`` is given.
    """

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.pop('ignore_empty', False):
            raise TypeError(
                'LoadCachedImage got ignore_empty=True; expected False: the data set '
                'looks for broken images at its start.'
            )
        super().__init__(**kwargs)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Put ``img``, ``img_shape`` and ``ori_shape`` into ``results``.

        Args:
            results: Data info with ``img_path`` and perhaps ``img_cached``, a uint8
                image of shape (height, width, 3).

        Returns:
            ``results`` without ``img_cached``.

        Raises:
            ValueError: If the file cannot be decoded.
        """
        cached = results.pop('img_cached', None)
        # The cache holds colour images; another color_type is decoded as asked.
        if cached is None or self.color_type != 'color':
            try:
                return super().transform(results)
            # Whatever the backend raises, the name of the file belongs to it.
            except Exception as error:
                raise ValueError(
                    f'Cannot load the image {results["img_path"]} '
                    f'({type(error).__name__}: {error}): restore the file; '
                    'the data set finds all broken ones at its start if it verifies '
                    'images.'
                ) from error
        results['img'] = cached.astype(np.float32) if self.to_float32 else cached.copy()
        results['img_shape'] = results['ori_shape'] = cached.shape[:2]
        return results
