"""Segmentation masks that hold class ids: reading them, and what counts as object."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mmdefect.datasets.index_masks.pixels import MAX_ID
from mmdefect.registry import TRANSFORMS
from mmdefect.utils import images
from mmdefect.utils.checks import name_some

FULL = 255
"""The object in a binary mask, and in ``gt_seg_map``."""
BINARY_ID = 1
"""The class id that the object of a binary mask has."""
OBJECT, BACKGROUND = 0, 1
"""Labels of an image with and without an object; class 0 is the defective one."""

_CONVERT = 'convert it with tools/dataset_converters/index_masks.py'


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as it is stored; a palette's indices are its values.

    Returns:
        Shape (H, W), uint8.

    Raises:
        ValueError: If the file is missing or no image, or holds anything but one
            channel (or three equal ones) of at most 8 bits.
    """
    pixels, _ = images.read_mask(path)
    found = 'RGBA' if pixels.shape[2:] == (4,) else ''
    if pixels.dtype != np.uint8:
        found = '16 or more bits'
    elif pixels.ndim == 2:
        return pixels
    elif pixels.shape[2] == 3:
        if (pixels == pixels[..., :1]).all():
            return np.ascontiguousarray(pixels[..., 0])
        found = 'three different channels'
    raise ValueError(
        f'the mask {path} has {found}: expected one channel of 8 bits that holds '
        f'class ids (or three equal ones); {_CONVERT}'
    )


def holds_ids(mask: np.ndarray) -> bool:
    """Whether the values mean classes: all below 127, or 0 and 255 only."""
    return bool((mask <= MAX_ID).all()) or is_binary(mask)


def is_binary(mask: np.ndarray) -> bool:
    """Whether the values are 0 and 255 and nothing else; all 0 is not binary."""
    return bool(mask.max(initial=0) == FULL and ((mask == 0) | (mask == FULL)).all())


def ids_of(mask: np.ndarray, *, name: str = 'the mask') -> np.ndarray:
    """Class ids of the pixels (H, W): as stored, or 1 for the object of a binary mask.

    Raises:
        ValueError: If values are neither class ids nor 0 and 255.
    """
    if is_binary(mask):
        return (mask > 0).astype(np.uint8) * np.uint8(BINARY_ID)
    if not holds_ids(mask):
        values = np.unique(mask)
        shown = name_some([str(value) for value in values])
        raise ValueError(
            f'{name} holds other values than class ids ({shown}): expected ids up to '
            f'{MAX_ID}, or 0 and {FULL} only; {_CONVERT}, or take every non-zero '
            'value as object (LoadIndexMask(legacy=True))'
        )
    return mask


def object_pixels(ids: np.ndarray, object_ids: Collection[int] | None) -> np.ndarray:
    """Where the object is, boolean, by class ids (H, W); None for all ids above 0."""
    return ids > 0 if object_ids is None else np.isin(ids, list(object_ids))


@TRANSFORMS.register_module()
class LoadIndexMask(BaseTransform):
    """Load the mask of a segmented image, as binary map of the object.

    Added keys:

    - ``gt_seg_map``: uint8, shape (H, W), 255 on the object and 0 elsewhere. mmcv's
      geometric transforms that follow move it along with the image.
    - ``gt_label``: 0 where any pixel is object, else 1; int64, shape (1,). A label that
      is there already stays. It is that of the whole image: a crop does not change it.

    Args:
        legacy: Take every non-zero value as object, whatever it means, as FTL's
            release does (Żarski et al., 10.1111/mice.12755).

    Raises:
        ValueError: When called, if the mask is not an index mask, has another size than
            the image, or ``legacy`` meets ``object_ids``.
    """

    def __init__(self, *, legacy: bool = False) -> None:
        self.legacy = legacy

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read the mask of ``mask_path``, for ``object_ids`` (None: all above 0)."""
        path = results['mask_path']
        mask = read_mask(path)
        self._check_size(mask, results, path)
        wanted = results.get('object_ids')
        if self.legacy:
            if wanted is not None:
                raise ValueError(
                    f'legacy=True and object_ids={tuple(wanted)}: expected one of '
                    'both, as legacy takes every class as object; leave out '
                    'target_classes'
                )
            found = mask > 0
        else:
            found = object_pixels(ids_of(mask, name=f'the mask {path}'), wanted)
        results['gt_seg_map'] = found.astype(np.uint8) * np.uint8(FULL)
        # A tensor: PackInputs keeps the label as it is if algorithm_keys names it too.
        label = torch.tensor([OBJECT if found.any() else BACKGROUND])
        results.setdefault('gt_label', label)
        return results

    @staticmethod
    def _check_size(mask: np.ndarray, results: dict[str, Any], path: str) -> None:
        if 'img' not in results:
            return
        image = results['img'].shape[:2]
        if mask.shape != image:
            raise ValueError(
                f'the mask {path} is {mask.shape[1]}x{mask.shape[0]} and its image '
                f'{results.get("img_path", "")} {image[1]}x{image[0]} (width x '
                'height): expected equal sizes; load it before any transform that '
                'changes the size, or correct it'
            )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(legacy={self.legacy})'
