"""The AlexNet of Finicky Transfer Learning."""

from __future__ import annotations

from typing import Any

from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdefect.registry import MODELS
from mmdefect.utils.checks import check_range

# From here on the last of the three poolings has a pixel to give.
SMALLEST = 41
KERAS_EPS = 1e-3


@MODELS.register_module()
class FTLAlexNet(BaseModule):
    """AlexNet's five convolutions, wider than mmpretrain's, without linear layers.

    Żarski et al., Finicky Transfer Learning, CACAIE 2021 (10.1111/mice.12755), as the
    released networks show it: a convolution, its ReLU, behind the first one a batch
    norm (with Keras's ``eps``), and a pooling. 3,747,200 weights and biases; the
    paper's 3,747,584 count four values a channel of the batch norm, of which two are
    buffers here. At 224 x 224 pixels the maps have sides of 56, 27, 13 and 6, so
    ``mmdefect.FlattenNeck`` gives 9,216 features.

    The first convolution is padded as TensorFlow's "same" does it: 3 pixels on top and
    left and 4 below and right at 224, by another amount where 4 does not divide the
    side. Layers are called ``features.0`` (convolution), ``features.1`` (ReLU) and so
    on; the convolutions are 0, 4, 7, 9 and 11.

    Args:
        in_channels: Channels of an image.
        init_cfg: As in :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: ``in_channels`` is below 1; or, when called, the image is smaller
            than 41 x 41 pixels.
    """

    def __init__(self, *, in_channels: int = 3, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        check_range('in_channels', in_channels, 1)
        self.features = nn.Sequential(
            Conv2dAdaptivePadding(in_channels, 96, 11, stride=4),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(96, eps=KERAS_EPS),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, 2),
        )

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """The last map, ``(B, 256, h, w)``, of images ``(B, in_channels, H, W)``."""
        height, width = images.shape[-2:]
        if min(height, width) < SMALLEST:
            raise ValueError(
                f'images of {height} x {width} pixels: expected at least {SMALLEST} x '
                f'{SMALLEST}, or they vanish in the poolings of FTLAlexNet'
            )
        return (self.features(images),)
