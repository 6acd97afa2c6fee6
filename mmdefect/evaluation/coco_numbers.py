"""Numbers of COCO's evaluators, by the names that mmdet gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Name -> (IoU threshold or None for the mean over all, object area), as in mmdet.
PRECISION_ITEMS: dict[str, tuple[float | None, str]] = {
    'mAP': (None, 'all'),
    'mAP_50': (0.5, 'all'),
    'mAP_75': (0.75, 'all'),
    'mAP_s': (None, 'small'),
    'mAP_m': (None, 'medium'),
    'mAP_l': (None, 'large'),
}
AREAS = ('all', 'small', 'medium', 'large')


@dataclass(frozen=True)
class CocoNumbers:
    """What an evaluator that has accumulated found.

    Attributes:
        evaluation: The evaluator.
        iou_thrs: Its IoU thresholds.
        cat_ids: Id of the category of each label.
        limits: Its numbers of boxes an image, ascending; precision is of the largest.
    """

    evaluation: Any
    iou_thrs: np.ndarray
    cat_ids: Sequence[int]
    limits: Sequence[int]

    def precision(
        self, iou: float | None, area: str, label: int | None = None
    ) -> float | None:
        """Mean of the precisions over recalls, IoUs (or of one) and classes (or one).

        Returns:
            ``None`` where COCO could compute none.
        """
        ious = slice(None) if iou is None else np.isclose(self.iou_thrs, iou)
        # Of the array (IoU, recall, class, area, boxes an image).
        values = self.evaluation.eval['precision'][ious][..., AREAS.index(area), -1]
        if label is not None:
            # The evaluator sorts category ids, labels keep the stream's order.
            values = values[:, :, sorted(self.cat_ids).index(self.cat_ids[label])]
        return _mean(values)

    def of_host(self, items: Sequence[str] | None) -> dict[str, float]:
        """The numbers of mmdet's CocoMetric, not rounded; -1 where undefined.

        Args:
            items: mmdet's ``metric_items``; by default all precisions.

        Raises:
            ValueError: If one is unknown.
        """
        found = {}
        for item in items or PRECISION_ITEMS:
            if item in PRECISION_ITEMS:
                value = self.precision(*PRECISION_ITEMS[item])
            else:
                value = self._recall(item)
            found[f'bbox_{item}'] = -1.0 if value is None else value
        return found

    def _recall(self, item: str) -> float | None:
        """Average recall ``AR@<boxes>`` or ``AR_<s|m|l>@<boxes>``."""
        kind, _, limit = item.partition('@')
        areas = {'AR': 0, 'AR_s': 1, 'AR_m': 2, 'AR_l': 3}
        limits = [str(number) for number in self.limits]
        if kind not in areas or limit not in limits:
            raise ValueError(
                f'metric_items={item!r}: expected {", ".join(PRECISION_ITEMS)} or '
                f'AR, AR_s, AR_m, AR_l with @ and one of {", ".join(limits)}'
            )
        recall = self.evaluation.eval['recall']  # (IoU, class, area, max boxes)
        return _mean(recall[:, :, areas[kind], limits.index(limit)])


def _mean(values: np.ndarray) -> float | None:
    """Mean of the entries that COCO could compute (it marks the others -1)."""
    valid = values[values > -1]
    return float(valid.mean()) if valid.size else None
