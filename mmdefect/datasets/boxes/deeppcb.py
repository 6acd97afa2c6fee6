"""DeepPCB: six kinds of defects on bare printed circuit boards."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdefect.datasets.boxes.classes import DEEPPCB_CLASSES, PALETTE
from mmdefect.datasets.boxes.dataset import DefectDetDataset
from mmdefect.registry import DATASETS


@DATASETS.register_module()
class DeepPCBDataset(DefectDetDataset):
    """DeepPCB, 1000 + 500 binarised images of 640x640 pixels, 10013 boxes.

    S. Tang et al., "Online PCB defect detector on a new PCB defect dataset",
    arXiv:1902.06197. Classes in the order of the annotation ids 1 to 6.
    """

    METAINFO: ClassVar[dict[str, Any]] = {
        'classes': DEEPPCB_CLASSES,
        'palette': PALETTE,
    }
