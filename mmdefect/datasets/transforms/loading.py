"""Loading an image from memory when the dataset has it there."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from mmdefect.datasets.images import read_info
from mmdefect.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadCachedImage(LoadImageFromFile):
    """``LoadImageFromFile`` that reads files as our datasets do.

    It takes ``results['img_cached']`` when it is there, copied: transforms may write
    into theirs. Else the file is read by :func:`mmdefect.datasets.images.read_info`:
    16 bits are scaled by ``results['bits']``, an EXIF orientation is heeded as the
    annotated ``width`` and ``height`` or ``results['exif']`` say. A file that cannot be
    decoded raises and is never replaced by another image in silence.

    Args:
        kwargs: As for mmcv's ``LoadImageFromFile``, without ``ignore_empty``;
            ``color_type`` is ``'color'`` or ``'grayscale'``, the decoder OpenCV.

    Raises:
        TypeError: If another argument is given.
    """

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.pop('ignore_empty', False):
            raise TypeError(
                'ignore_empty=True: expected False; the dataset looks for broken '
                'images at its start'
            )
        super().__init__(**kwargs)
        if (
            self.color_type not in ('color', 'grayscale')
            or self.imdecode_backend != 'cv2'
        ):
            raise TypeError(
                f'color_type={self.color_type!r}, '
                f'imdecode_backend={self.imdecode_backend!r}: expected "color" or '
                '"grayscale", and "cv2", with which files are verified'
            )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Put ``img``, ``img_shape`` and ``ori_shape`` into ``results``.

        ``img_cached``, a uint8 image of shape (height, width, 3), is taken out.
        """
        image = results.pop('img_cached', None)
        if image is None:
            image = read_info(results, data=self._remote(results['img_path']))
        elif self.color_type == 'color' and not self.to_float32:
            image = image.copy()
        if self.color_type == 'grayscale':
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        results['img'] = image.astype(np.float32) if self.to_float32 else image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _remote(self, path: str) -> bytes | None:
        """Content of a file of another backend than the disk."""
        plain = self.backend_args is None and self.file_client_args is None
        if plain and '://' not in str(path):
            return None
        try:
            if self.file_client_args is not None:
                client = fileio.FileClient.infer_client(self.file_client_args, path)
                return client.get(path)
            return fileio.get(path, backend_args=self.backend_args)
        # Whatever the backend raises, the name of the file belongs to it.
        except Exception as error:
            raise ValueError(
                f'cannot load the image {path}: expected one that can be read '
                f'({type(error).__name__}: {error}); restore the file'
            ) from error
