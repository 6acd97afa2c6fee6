"""MobileNetV2 for detectors: what the outputs need runs and trains, and no more."""

from __future__ import annotations

from typing import Any

from mmdet.models.backbones import MobileNetV2

from mmdefect.registry import MODELS


@MODELS.register_module()
class DetectionMobileNetV2(MobileNetV2):
    """mmdet's MobileNetV2, with the same weights by the same names and equal outputs.

    mmdet's runs a last layer of 1280 channels whatever the outputs are. Here layers
    after the last output are in checkpoints as before, but are neither run nor trained:
    several processes would wait for gradients that never come.

    As in mmdet, parameters are frozen when the model is set to train, not when it is
    built: an optimizer holds the same parameters as before, and old runs resume.

    Args:
        kwargs: As for mmdet's ``MobileNetV2``.
    """

    layers: list[str]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        needed = max(self.out_indices) + 1
        self.unneeded = self.layers[needed:]
        self.layers = self.layers[:needed]

    def _freeze_stages(self) -> None:
        super()._freeze_stages()
        for name in self.unneeded:
            self.get_submodule(name).requires_grad_(False)
