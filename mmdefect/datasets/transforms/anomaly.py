"""From an image of a product and its masks to what an anomaly model takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from PIL import Image

from mmdefect.datasets.images import read_info
from mmdefect.datasets.index_masks.pixels import read_defect
from mmdefect.registry import TRANSFORMS
from mmdefect.structures import AnomalySample
from mmdefect.utils.checks import check_choice


@TRANSFORMS.register_module()
class LoadAnomalyImage(BaseTransform):
    """Load an image as BGR, uint8, three channels, whatever the file holds.

    Pixels are as stored unless ``results['exif']`` says ``'turned'``: masks are drawn
    on stored pixels, and so are all images then, good ones too. ``results['bits']``
    scales 16 bits. See :mod:`mmdefect.utils.images`.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Put ``img`` (H, W, 3), ``ori_shape`` and ``img_shape`` into ``results``.

        Raises:
            ValueError: If the file cannot be decoded or has an unusual format.
        """
        results['img'] = read_info({'exif': 'stored', **results})
        results['ori_shape'] = results['img_shape'] = results['img'].shape[:2]
        return results


def reduce_any(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask (H, W) so that no defect vanishes: area-max; uint8, 0 or 1.

    A pixel of the result is set when any defect pixel overlaps its area.
    """
    found = mask > 0
    for axis in (0, 1):
        before, after = mask.shape[axis], size[axis]
        steps = np.arange(after)
        start, stop = steps * before // after, -(-(steps + 1) * before // after)
        # Defect pixels up to a row: their difference counts those between two rows.
        counts = np.cumsum(found, axis=axis, dtype=np.int32)
        padding = [(0, 0), (0, 0)]
        padding[axis] = (1, 0)
        counts = np.pad(counts, padding)
        found = counts.take(stop, axis) > counts.take(start, axis)
    return found.astype(np.uint8)


def reduce_nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask (H, W) by the pixel nearest to each centre, as IUF and UniAD do.

    A defect smaller than the sampling distance may vanish; :func:`reduce_any` keeps it.
    """
    # Pillow, as the released code: others break ties of 256 to 224 differently.
    found = Image.fromarray((mask > 0).astype(np.uint8))
    return np.array(found.resize(size[::-1], Image.Resampling.NEAREST))


REDUCE = {'any': reduce_any, 'nearest': reduce_nearest}


@TRANSFORMS.register_module()
class LoadAnomalyMask(BaseTransform):
    """Load the defect pixels of all masks of the image together.

    Which values are defect: :func:`mmdefect.datasets.index_masks.pixels.defect_pixels`.

    A good image gets an empty mask, a defective one whose defect is not outlined gets
    none. The resolution of ground truth is part of a result, so it stands in the
    config; ``Resize`` does not touch it.

    Args:
        size: Height and width of the mask; the resolution of the image file by default.
        reduce: ``'any'`` (a pixel counts if any defect pixel falls into it, so small
            defects stay) or ``'nearest'`` (as the released code of IUF).

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self, *, size: tuple[int, int] | None = None, reduce: str = 'any'
    ) -> None:
        check_choice('reduce', reduce, list(REDUCE))
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(
                f'size={size!r}: expected (height, width) in pixels, or None for that '
                'of the image'
            )
        self.size = None if size is None else (int(size[0]), int(size[1]))
        self.reduce = reduce

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Put ``gt_mask`` (H, W), uint8, 0 or 1, into ``results``, if it is known.

        Raises:
            ValueError: If the image was not loaded before, or a mask cannot be decoded
                or has another size than the image.
        """
        if 'ori_shape' not in results:
            raise ValueError(
                'LoadAnomalyMask found no ori_shape: expected a loaded image; put '
                'LoadAnomalyImage before it'
            )
        if not results['has_mask']:
            return results
        mask = np.zeros(results['ori_shape'], np.uint8)
        for path in results['mask_paths']:
            mask |= self._read(path, results)
        if self.size is not None and self.size != mask.shape:
            mask = REDUCE[self.reduce](mask, self.size)
        results['gt_mask'] = mask
        return results

    def _read(self, path: str, results: dict[str, Any]) -> np.ndarray:
        mask = read_defect(path)
        if mask.shape != tuple(results['ori_shape']):
            found, wanted = (
                f'{shape[0]}x{shape[1]}' for shape in (mask.shape, results['ori_shape'])
            )
            raise ValueError(
                f'the mask {path} has {found} pixels (height x width): expected '
                f'{wanted} as {results["img_path"]}; correct the mask'
            )
        return mask


@TRANSFORMS.register_module()
class AnomalyFlipRotate(BaseTransform):
    """Flip and rotate image and mask together, at random; nothing by default.

    The seed has these switches, all of them off, and its features may be cached only
    then: ask :attr:`is_random`.

    Args:
        hflip: Flip left and right in half of the cases.
        vflip: Flip up and down in half of the cases.
        rotate: Rotate by 0, 90, 180 or 270 degrees, each in a quarter of the cases. No
            pixel is invented or interpolated, so defects and normal texture stay what
            they are. An image that is not square is rotated by 0 or 180 degrees only:
            all images of a batch keep their size.
    """

    def __init__(
        self, *, hflip: bool = False, vflip: bool = False, rotate: bool = False
    ) -> None:
        self.hflip = hflip
        self.vflip = vflip
        self.rotate = rotate

    @property
    def is_random(self) -> bool:
        """Whether the same image may come out differently."""
        return self.hflip or self.vflip or self.rotate

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` (H, W, 3) and ``gt_mask``, if there is one."""
        if not self.is_random:
            return results
        left_right = self.hflip and np.random.random() < 0.5
        up_down = self.vflip and np.random.random() < 0.5
        turns = int(np.random.randint(4)) if self.rotate else 0
        height, width = results['img'].shape[:2]
        if height != width:
            turns -= turns % 2
        for key in ('img', 'gt_mask'):
            if key in results:
                results[key] = _move(results[key], left_right, up_down, turns)
        return results


def _move(array: np.ndarray, left_right: bool, up_down: bool, turns: int) -> np.ndarray:
    if left_right:
        array = array[:, ::-1]
    if up_down:
        array = array[::-1]
    return np.ascontiguousarray(np.rot90(array, turns))


@TRANSFORMS.register_module()
class PackAnomalyInputs(BaseTransform):
    """Make the item of the dataset: ``inputs`` and ``data_samples``.

    Args:
        meta_keys: What of the results becomes metainfo of the sample.
    """

    def __init__(
        self,
        *,
        meta_keys: Sequence[str] = (
            'img_path',
            'class_name',
            'class_label',
            'defect',
            'ori_shape',
            'img_shape',
        ),
    ) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack the results of the pipeline.

        Returns:
            ``inputs``, uint8, shape (3, h, w), BGR; ``data_samples``, an
            :class:`~mmdefect.structures.AnomalySample` with ``gt_label`` and, if the
            defect pixels are known and were loaded, ``gt_mask``.
        """
        image = results['img']
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f'the image {results.get("img_path")} is {image.dtype} of shape '
                f'{image.shape}: expected uint8 and (height, width, 3); load it with '
                'LoadAnomalyImage'
            )
        sample = AnomalySample(
            metainfo={key: results[key] for key in self.meta_keys if key in results}
        )
        sample.gt_label = torch.tensor(results['gt_label'], dtype=torch.int64)
        if 'gt_mask' in results:
            sample.gt_mask = torch.from_numpy(results['gt_mask'].astype(bool))
        inputs = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return {'inputs': inputs, 'data_samples': sample}
