"""Box rehearsal: old objects, cut out and kept, come again in new images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import HorizontalBoxes

from mmdefect.datasets.boxes.memory_file import read_memory
from mmdefect.registry import TRANSFORMS
from mmdefect.utils.checks import check_range
from mmdefect.utils.images import read_bgr

# Sides of a crop over those of the image: what stays, and what others are scaled to.
_FITS, _SCALED = (0.2, 0.7), (0.4, 0.6)
_TRIES, _FILLED, _EMPTY = 20, 0.75, 114


@TRANSFORMS.register_module()
class RehearseCrops(BaseTransform):
    """Old objects mixed into a new image, or four of them in place of it.

    Augmented box replay (Liu et al., ICCV 2023, 2307.12427). *Mixup* puts up to two
    crops where no box is, at a weight of 1 - lambda with lambda ~ Beta(2, 5); such an
    image is marked ``rehearsed``: it says nothing of old objects elsewhere in it.
    *Mosaic* shows four crops on grey; it is marked ``replayed``, as every object in it
    is labelled. Goes between ``LoadAnnotations`` and what changes sizes.

    Args:
        folder: Of the crops; see :mod:`mmdefect.datasets.boxes.memory_file`.
        classes: Classes that they have to be of.
        seen_classes: Classes in label order.
        mixup: Share of images that get crops.
        mosaic: Share of images that become mosaics.

    Raises:
        FileNotFoundError: If the manifest or a crop is gone.
        ValueError: If a crop has changed, they are of other classes, or the shares are
            none.
    """

    def __init__(
        self,
        *,
        folder: str,
        classes: Sequence[str],
        seen_classes: Sequence[str],
        mixup: float = 0.25,
        mosaic: float = 0.25,
    ) -> None:
        check_range('mixup + mosaic', mixup + mosaic, 0, 1)
        self.mixup, self.mosaic = mixup, mosaic
        labels = {name: k for k, name in enumerate(seen_classes)}
        self.crops = [
            (read_bgr(Path(folder) / crop.file), labels[crop.kept_for])
            for crop in read_memory(Path(folder), classes).images
        ]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change ``img`` and its boxes, in half of all cases by default."""
        drawn = np.random.random()
        if drawn < self.mixup:
            return self._mixed(results)
        if drawn < self.mixup + self.mosaic:
            return self._mosaic(results)
        return results

    def _drawn(self, number: int, height: int, width: int) -> Iterator[tuple]:
        """Crops and their labels, of a size that suits an image."""
        for index in np.random.choice(len(self.crops), number):
            crop, label = self.crops[index]
            side = max(crop.shape[0] / height, crop.shape[1] / width)
            if not _FITS[0] <= side <= _FITS[1]:
                crop = _resized(crop, np.random.uniform(*_SCALED) / side)
            yield crop, label

    def _mixed(self, results: dict[str, Any]) -> dict[str, Any]:
        image = results['img']
        height, width = image.shape[:2]
        boxes = [tuple(box) for box in results['gt_bboxes'].tensor.numpy()]
        if any((c - a) * (d - b) > _FILLED * height * width for a, b, c, d in boxes):
            return results
        weight = 1 - np.random.beta(2, 5)
        labels = []
        for crop, label in self._drawn(2, height, width):
            box = _free_place(crop.shape[:2], (height, width), boxes)
            if box is not None:
                boxes.append(box)
                labels.append(label)
                x, y, right, bottom = box
                below = image[y:bottom, x:right]
                mixed = weight * crop + (1 - weight) * below
                image[y:bottom, x:right] = mixed.round().astype(image.dtype)
        if labels:
            _add_boxes(results, boxes[len(boxes) - len(labels) :], labels)
            results['rehearsed'] = True
        return results

    def _mosaic(self, results: dict[str, Any]) -> dict[str, Any]:
        height, width = results['img'].shape[:2]
        results['img'] = np.full_like(results['img'], _EMPTY)
        cx, cy = (int(np.random.uniform(0.4, 0.6) * side) for side in (width, height))
        boxes, labels = [], []
        for index, (crop, label) in enumerate(self._drawn(4, height, width)):
            right, below = index % 2, index // 2
            room = (height - cy if below else cy, width - cx if right else cx)
            shrink = min(room[0] / crop.shape[0], room[1] / crop.shape[1], 1)
            crop = crop if shrink == 1 else _resized(crop, shrink)
            h, w = min(crop.shape[0], room[0]), min(crop.shape[1], room[1])
            x, y = (cx if right else cx - w), (cy if below else cy - h)
            results['img'][y : y + h, x : x + w] = crop[:h, :w]
            boxes.append((x, y, x + w, y + h))
            labels.append(label)
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = results[key][:0]
        _add_boxes(results, boxes, labels)
        results['replayed'] = True
        return results


def _resized(crop: np.ndarray, scale: float) -> np.ndarray:
    size = [max(1, round(side * scale)) for side in crop.shape[1::-1]]
    return cv2.resize(crop, size, interpolation=cv2.INTER_LINEAR)


def _free_place(
    crop: tuple[int, int], image: tuple[int, int], boxes: Sequence[tuple]
) -> tuple[int, int, int, int] | None:
    """A place without any box, None if none of the tries finds one."""
    (h, w), (height, width) = crop, image
    if h > height or w > width:
        return None
    for _ in range(_TRIES):
        x, y = np.random.randint(width - w + 1), np.random.randint(height - h + 1)
        if not any(
            x < right and left < x + w and y < bottom and top < y + h
            for left, top, right, bottom in boxes
        ):
            return x, y, x + w, y + h
    return None


def _add_boxes(
    results: dict[str, Any], boxes: Sequence[tuple], labels: Sequence[int]
) -> None:
    fresh = HorizontalBoxes(np.array(boxes, dtype=np.float32))
    results['gt_bboxes'] = HorizontalBoxes.cat([results['gt_bboxes'], fresh])
    kinds = results['gt_bboxes_labels']
    added = np.array(labels, dtype=kinds.dtype)
    results['gt_bboxes_labels'] = np.concatenate([kinds, added])
    flags = results['gt_ignore_flags']
    none = np.zeros(len(labels), dtype=flags.dtype)
    results['gt_ignore_flags'] = np.concatenate([flags, none])
