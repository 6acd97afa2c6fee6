"""Sample of anomaly detection: ground truth of an image, and its prediction."""

from __future__ import annotations

from mmengine.structures import BaseDataElement
from torch import Tensor


class AnomalySample(BaseDataElement):
    """One image of an anomaly stream, from the pipeline to the metric.

    Metainfo: ``img_path``, ``class_name`` (the product), ``class_label`` (its index
    among the classes seen so far), ``defect`` (``good`` or a kind), ``ori_shape``,
    ``img_shape``; ``told_product``, the index of the product where the caller
    knows it.

    Attributes:
        gt_label: 0 good, 1 defective; int64, no dimensions.
        gt_mask: Defect pixels, bool, shape ``(H, W)``; not set for a defective image
            whose defect is not outlined.
        pred_score: Larger is more anomalous; float32, no dimensions.
        pred_map: Anomaly map of shape ``(h, w)``, float32, not negative.
        pred_product: Index of the product that was recognised among the classes, -1 if
            it is none of them; int64, no dimensions. Of models that recognise it.
        pred_alarm: Whether the score is above the alarm of the product that the image
            was compared with; bool, no dimensions. Where that product has an alarm.
    """

    gt_label: Tensor
    gt_mask: Tensor
    pred_score: Tensor
    pred_map: Tensor
    pred_product: Tensor
    pred_alarm: Tensor
