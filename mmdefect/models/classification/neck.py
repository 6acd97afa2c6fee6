"""Neck between a map and a linear head."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor

from mmdefect.registry import MODELS


@MODELS.register_module()
class FlattenNeck(BaseModule):
    """Flatten the last map into one row, channel by channel.

    The head behind it is made for one image size; mmpretrain's
    ``GlobalAveragePooling`` instead is not, and has far fewer values.
    """

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor]:
        """Shape ``(B, C * h * w)`` of the last of the maps, ``(B, C, h, w)``."""
        return (features[-1].flatten(1),)
