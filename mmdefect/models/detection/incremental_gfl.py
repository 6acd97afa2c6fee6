"""GFL that learns new classes and keeps the old ones without their images."""

from __future__ import annotations

from typing import ClassVar

from mmdet.models.detectors import GFL

from mmdefect.functional.class_rows import GFL_CLASS_KEYS
from mmdefect.models.detection.incremental_detector import IncrementalDetector
from mmdefect.registry import MODELS


@MODELS.register_module()
class IncrementalGFL(IncrementalDetector, GFL):
    """mmdet's GFL with a frozen teacher beside it in training, and only there.

    See :class:`IncrementalDetector`; ``bbox_head`` is an ``IncrementalGFLHead``.
    """

    class_keys: ClassVar[tuple[str, ...]] = GFL_CLASS_KEYS
