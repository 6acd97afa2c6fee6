"""MobileNetV2 for detectors: what the outputs need trains, from the start."""

from __future__ import annotations

from typing import Any

from mmdet.models.backbones import MobileNetV2

from mmdefect.registry import MODELS


@MODELS.register_module()
class DetectionMobileNetV2(MobileNetV2):
    """mmdet's MobileNetV2, with the same weights by the same names and equal outputs.

    mmdet's freezes its first stages only when it is set to train; several processes
    have agreed on what trains by then, and wait for gradients that never come. Here the
    stages are frozen when it is built. Layers after the last output are in checkpoints
    as before, and are neither run nor trained.

    Args:
        kwargs: As for mmdet's ``MobileNetV2``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        needed = max(self.out_indices) + 1
        layers: list[str] = list(self.layers)  # type: ignore[has-type]
        for name in layers[needed:]:
            self.get_submodule(name).requires_grad_(False)
        self.layers = layers[:needed]
        self._freeze_stages()
