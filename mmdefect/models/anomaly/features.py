"""Frozen features of several scales on one grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from mmdefect.registry import MODELS
from mmdefect.utils.pretrained import load_strictly


def align_concat(features: Sequence[Tensor], grid: int) -> Tensor:
    """Resize feature maps to one grid and concatenate their channels.

    Bilinear with aligned corners and without anti-aliasing: large maps are sampled at
    points of the grid (UniAD's neck, section 4 of its supplement).

    Args:
        features: Maps of shape ``(B, C_i, h_i, w_i)``, in order of their stride.
        grid: Side of the result.

    Returns:
        Shape ``(B, sum C_i, grid, grid)``.
    """
    size = (grid, grid)
    resized = [
        F.interpolate(maps, size=size, mode='bilinear', align_corners=True)
        for maps in features
    ]
    return torch.cat(resized, dim=1)


class FrozenFeatures(nn.Module):
    """A pretrained backbone that never learns, and its taps on one grid.

    Always in evaluation mode and without gradients, so its features are a function of
    the image and can be cached.

    Args:
        backbone: A backbone that returns several feature maps, or its config.
        grid: Side of the result.

    Raises:
        ValueError: When called, if the backbone returns fewer than one map.
    """

    def __init__(
        self, *, backbone: Mapping[str, Any] | nn.Module, grid: int = 14
    ) -> None:
        super().__init__()
        self.backbone: Any = backbone
        if not isinstance(backbone, nn.Module):
            self.backbone = MODELS.build(dict(backbone))
        drop_unused_stages(self.backbone)
        self.grid = grid
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenFeatures:
        """Stay in evaluation mode whatever is asked for."""
        return super().train(False)

    def init_weights(self) -> None:
        """Load what the backbone's ``init_cfg`` names, and stay frozen."""
        pretrained = getattr(self.backbone, 'init_cfg', None) or {}
        if isinstance(pretrained, Mapping) and pretrained.get('type') == 'Pretrained':
            load_strictly(self.backbone, pretrained)
        elif hasattr(self.backbone, 'init_weights'):
            # A random backbone hangs on the seed of the run alone, not on what else the
            # model draws: methods and steps that are compared have the same features.
            with torch.random.fork_rng():
                torch.manual_seed(torch.initial_seed())
                self.backbone.init_weights()
        self.requires_grad_(False)
        self.train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, C, grid, grid)`` of preprocessed images ``(B, 3, H, W)``."""
        maps = self.backbone(images)
        if not isinstance(maps, (tuple, list)) or not maps:
            raise ValueError(
                f'backbone={type(self.backbone).__name__} gives a '
                f'{type(maps).__name__}: expected several feature maps; set its '
                'out_indices'
            )
        return align_concat(maps, self.grid)

    def of(self, inputs: Mapping[str, Tensor], channels: int) -> Tensor:
        """Features of a batch, those of a cache if they are given.

        Raises:
            ValueError: They have another number of channels than the config says.
        """
        features = inputs.get('features')
        if features is None:
            features = self(inputs['images'])
        if features.shape[1] != channels:
            raise ValueError(
                f'in_channels={channels}: expected {features.shape[1]}, the channels '
                'of the backbone; write their sum into the config'
            )
        return features


def drop_unused_stages(backbone: Any) -> None:
    """Remove stages behind the last tap, which mmpretrain's forward would compute.

    Knows backbones that keep their stages in ``layers``: a ``ModuleList``
    (EfficientNet) or names (MobileNetV2), or their names in ``res_layers`` (ResNet);
    others are left as they are.
    """
    kept_in = 'res_layers' if hasattr(backbone, 'res_layers') else 'layers'
    layers = getattr(backbone, kept_in, None)
    taps = getattr(backbone, 'out_indices', None)
    if layers is None or not taps or min(taps) < 0:
        return
    keep = max(taps) + 1
    if isinstance(layers, list) and all(isinstance(name, str) for name in layers):
        for name in layers[keep:]:
            delattr(backbone, name)
    elif not isinstance(layers, nn.ModuleList):
        return
    setattr(backbone, kept_in, layers[:keep])
    if (dropped := len(layers) - keep) > 0:
        print_log(
            f'{type(backbone).__name__}: {dropped} unused stages dropped', 'current'
        )
