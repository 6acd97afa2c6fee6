"""LUNA, the casting study's small network from scratch."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdefect.registry import MODELS
from mmdefect.utils.checks import check_range


def luna_block(in_channels: int, out_channels: int) -> nn.Sequential:
    """Two 3 x 3 convolutions with ReLU, then the maximum of 2 x 2 pixels."""
    layers: list[tuple[str, nn.Module]] = [
        ('conv1', nn.Conv2d(in_channels, out_channels, 3, padding=1)),
        ('relu1', nn.ReLU(inplace=True)),
        ('conv2', nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        ('relu2', nn.ReLU(inplace=True)),
        ('pool', nn.MaxPool2d(2)),
    ]
    return nn.Sequential(OrderedDict(layers))


@MODELS.register_module()
class LunaNet(BaseModule):
    """Blocks of two convolutions whose width doubles and whose side halves.

    As in the casting study: no dropout, no global pooling, PyTorch's initialisation.
    With the defaults 73,614 parameters, at 300 x 300 pixels a map of 64 x 18 x 18, and
    so 115,088 parameters with :class:`FlattenNeck` and a head of two classes. The study
    ended in a softmax; here the head gives logits.

    Args:
        in_channels: Channels of an image.
        base_channels: Width of the first block.
        num_blocks: Number of blocks.
        input_norm: Whether a batch norm of the image comes first.
        init_cfg: As in :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: A number is below 1; or, when called, the image is smaller than
            ``2 ** num_blocks`` pixels.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        base_channels: int = 8,
        num_blocks: int = 4,
        input_norm: bool = True,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg)
        check_range('in_channels', in_channels, 1)
        check_range('base_channels', base_channels, 1)
        check_range('num_blocks', num_blocks, 1)
        widths = [in_channels, *(base_channels * 2**i for i in range(num_blocks))]
        self.input_norm = nn.BatchNorm2d(in_channels) if input_norm else nn.Identity()
        self.blocks = nn.ModuleList(luna_block(*pair) for pair in pairwise(widths))

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """The last map, ``(B, base_channels * 2 ** (num_blocks - 1), h, w)``.

        Args:
            images: Shape ``(B, in_channels, H, W)``; ``h`` is ``H`` halved and rounded
                down once a block.
        """
        least = 2 ** len(self.blocks)
        if min(images.shape[-2:]) < least:
            height, width = images.shape[-2:]
            raise ValueError(
                f'images of {height} x {width} pixels: expected at least {least} x '
                f'{least}, or they vanish in {len(self.blocks)} blocks of LunaNet'
            )
        maps = self.input_norm(images)
        for block in self.blocks:
            maps = block(maps)
        return (maps,)
