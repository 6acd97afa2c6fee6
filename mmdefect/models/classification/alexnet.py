"""AlexNet for images of any size."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor
from torchvision.models import alexnet

from mmdefect.registry import MODELS


@MODELS.register_module()
class AlexNetAdaptive(BaseModule):
    """torchvision's AlexNet without its last linear layer: 57,003,840 parameters.

    mmpretrain's AlexNet lacks torchvision's adaptive pooling and fails at the casting
    images' 300 pixels. Names of weights are torchvision's.

    Args:
        dropout: Share of the features that both dropouts of the classifier set to 0.
        init_cfg: As in :class:`mmengine.model.BaseModule`.
    """

    def __init__(self, *, dropout: float = 0.5, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        # The last layer is thrown away: one class is the smallest.
        network = alexnet(weights=None, num_classes=1, dropout=dropout)
        self.features = network.features
        self.avgpool = network.avgpool
        self.classifier = network.classifier[:-1]

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Features ``(B, 4096)`` of images ``(B, 3, H, W)``, at least 63 x 63."""
        maps = self.avgpool(self.features(images))
        return (self.classifier(torch.flatten(maps, 1)),)
