"""Boxes of a whole test set as tables, and as what COCO's evaluators read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Rows(NamedTuple):
    """Boxes of a test set, one a row.

    Attributes:
        boxes: ``(N, 4)`` float64, x1, y1, x2, y2 in pixels.
        labels: ``(N,)`` int64.
        images: ``(N,)`` int64, numbers of images.
        values: ``(N,)``: scores, or of annotated boxes whether they are ignored.
    """

    boxes: Tensor
    labels: Tensor
    images: Tensor
    values: Tensor

    def of(self, rows: Tensor) -> Rows:
        """Those of a mask, or at some indices."""
        return Rows(*(column[rows] for column in self))


def found_rows(
    predictions: Sequence[Mapping[str, Any]],
    numbers: Mapping[int, int],
    *,
    limit: int,
) -> Rows:
    """Boxes that mmdet's ``CocoMetric`` has kept, in the order of the images.

    Args:
        predictions: Of each image ``img_id``, ``bboxes``, ``scores`` and ``labels``.
        numbers: Id of an image -> its number.
        limit: Most boxes of a class in an image, the best ones.
    """
    ordered = sorted(predictions, key=lambda one: numbers[one['img_id']])
    kept = [_best(one, limit) for one in ordered]
    places = [numbers[one['img_id']] for one in ordered]
    counts = [len(scores) for _, scores, _ in kept]
    boxes, scores, labels = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    return Rows(
        torch.from_numpy(boxes.reshape(-1, 4).astype(np.float64)),
        torch.from_numpy(labels.astype(np.int64)),
        torch.tensor(places).repeat_interleave(torch.tensor(counts)),
        torch.from_numpy(scores),
    )


def _best(
    prediction: Mapping[str, Any], limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and labels of an image, at most ``limit`` of each class."""
    parts = (prediction['bboxes'], prediction['scores'], prediction['labels'])
    if len(parts[1]) <= limit:
        return parts
    order = np.argsort(-parts[1], kind='stable')
    labels = parts[2][order]
    kept = [order[labels == label][:limit] for label in np.unique(labels)]
    rows = np.sort(np.concatenate(kept))
    return parts[0][rows], parts[1][rows], parts[2][rows]


def annotated_rows(
    annotations: Sequence[Mapping[str, Any]],
    numbers: Mapping[int, int],
    labels: Mapping[int, int],
) -> Rows:
    """Annotated boxes of the classes that are scored.

    Args:
        annotations: Of a COCO file.
        numbers: Id of an image -> its number.
        labels: Id of a category -> its label.
    """
    ours = [one for one in annotations if one['category_id'] in labels]
    boxes = np.array([one['bbox'] for one in ours], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return Rows(
        torch.from_numpy(boxes),
        torch.tensor([labels[one['category_id']] for one in ours], dtype=torch.int64),
        torch.tensor([numbers[one['image_id']] for one in ours], dtype=torch.int64),
        torch.tensor([bool(one['iscrowd']) for one in ours], dtype=torch.bool),
    )


def coco_results(
    predictions: Sequence[Mapping[str, Any]], categories: Sequence[int]
) -> list[dict[str, Any]]:
    """Boxes that mmdet's ``CocoMetric`` has kept, as ``loadRes`` would hold them.

    Args:
        predictions: Of each image ``img_id``, ``bboxes``, ``scores`` and ``labels``.
        categories: Id of the category of each label.
    """
    found: list[dict[str, Any]] = []
    for prediction in predictions:
        # Of float32 numbers, subtracted in float64: as through a JSON file.
        boxes = prediction['bboxes'].reshape(-1, 4).astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        columns = (
            boxes.tolist(),
            boxes[:, 2:].prod(axis=1).tolist(),
            prediction['scores'].astype(np.float64).tolist(),
            prediction['labels'].tolist(),
        )
        image = prediction['img_id']
        for number, (box, area, score, label) in enumerate(
            zip(*columns, strict=True), len(found) + 1
        ):
            found.append(
                {
                    'id': number,
                    'image_id': image,
                    'category_id': categories[label],
                    'bbox': box,
                    'area': area,
                    'score': score,
                    'iscrowd': 0,
                }
            )
    return found
