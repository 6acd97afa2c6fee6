"""NEU-DET: six kinds of defects on hot-rolled steel."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdefect.datasets.boxes.classes import NEU_DET_CLASSES, PALETTE
from mmdefect.datasets.boxes.dataset import DefectDetDataset
from mmdefect.registry import DATASETS


@DATASETS.register_module()
class NEUDETDataset(DefectDetDataset):
    """NEU-DET, 1800 grey images of 200x200 pixels with 4189 boxes of six classes.

    K. Song and Y. Yan, Applied Surface Science 285, 2013; boxes by Y. He et al., IEEE
    Transactions on Instrumentation and Measurement 69(4), 2020. Class order as in the
    incremental protocols: the first three are the old classes of 3+3.
    """

    METAINFO: ClassVar[dict[str, Any]] = {
        'classes': NEU_DET_CLASSES,
        'palette': PALETTE,
    }
