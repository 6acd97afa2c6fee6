"""MVTec-AD: fifteen products and textures."""

from __future__ import annotations

from typing import Any, ClassVar

from mmdefect.datasets.anomaly.classes import MVTEC_AD_CLASSES
from mmdefect.datasets.anomaly.dataset import AnomalyDataset
from mmdefect.registry import DATASETS


@DATASETS.register_module()
class MVTecADDataset(AnomalyDataset):
    """MVTec-AD, 15 products and textures with 3629 training and 1725 test images.

    P. Bergmann et al., CVPR 2019 and IJCV 129, 2021. Class order as in the incremental
    protocols: alphabetical.
    """

    METAINFO: ClassVar[dict[str, Any]] = {'classes': MVTEC_AD_CLASSES}
    complete = True
