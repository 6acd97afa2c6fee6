"""Convolutions padded as PyTorch's own networks pad theirs."""

from __future__ import annotations

from typing import Any

from torch import nn

from mmdefect.registry import MODELS


@MODELS.register_module()
class HalfPaddedConv2d(nn.Conv2d):
    """A convolution that pads half its kernel on every side, whatever it is told.

    mmpretrain's EfficientNetV2 pads its five convolutions of stride 2 as TensorFlow
    does, by an amount that depends on the image and is larger at the end; with
    torchvision's weights its features are then far off. ``conv_cfg=dict(
    type='mmdefect.HalfPaddedConv2d')`` makes it torchvision's network.
    ``conv_cfg=None`` does not: its stem would not be padded at all.

    Args:
        args: As in :class:`torch.nn.Conv2d`.
        kwargs: As in :class:`torch.nn.Conv2d`; ``padding`` is not used.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        sizes = zip(self.kernel_size, self.dilation, strict=True)
        self.padding = tuple((size - 1) // 2 * dilation for size, dilation in sizes)
