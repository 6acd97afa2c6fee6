"""Sample of anomaly detection: ground truth of an image, and its prediction."""

from __future__ import annotations

from mmengine.structures import BaseDataElement
from torch import Tensor


class AnomalySample(BaseDataElement):
    """One image of an anomaly stream, from the pipeline to the metric.

    Metainfo: ``img_path``, ``class_name`` (the product), ``class_label`` (its index
    among the classes seen so far), ``defect`` (``good`` or a kind), ``ori_shape``,
    ``img_shape``.

    Attributes:
        gt_label: 0 good, 1 defective; int64, no dimensions.
        gt_mask: Defect pixels, bool, shape ``(H, W)``; not set for a defective image
            whose defect is not outlined.
        pred_score: Larger is more anomalous; float32, no dimensions.
        pred_map: Anomaly map of shape ``(h, w)``, float32, not negative.
    """

    gt_label: Tensor
    gt_mask: Tensor
    pred_score: Tensor
    pred_map: Tensor
