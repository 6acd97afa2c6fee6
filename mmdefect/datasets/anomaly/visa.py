"""VisA: twelve products."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdefect.datasets.anomaly.classes import VISA_CLASSES
from mmdefect.datasets.anomaly.dataset import AnomalyDataset
from mmdefect.registry import DATASETS


@DATASETS.register_module()
class VisADataset(AnomalyDataset):
    """VisA, 12 products with 8659 training and 2162 test images in the 1cls split.

    Y. Zou et al., ECCV 2022; converted by ``tools/dataset_converters/visa.py``. Class
    order as in the incremental protocols: alphabetical.
    """

    METAINFO: ClassVar[dict[str, Any]] = {'classes': VISA_CLASSES}
    complete = True
