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


def pool_concat(features: Sequence[Tensor], grid: int, pool: int) -> Tensor:
    """Average every feature map around each place of one grid, and concatenate.

    A map larger than the grid is averaged within its cells, so that no place is passed
    over; then over ``pool`` x ``pool`` neighbours (PatchCore, Roth et al., CVPR 2022,
    section 3.1; at the border over those that there are). A smaller map is averaged
    over its own neighbours and then enlarged, bilinear between the centres of cells.

    Args:
        features: Maps of shape ``(B, C_i, h_i, w_i)``, in order of their stride.
        grid: Side of the result.
        pool: Side of the neighbourhood, odd.

    Returns:
        Shape ``(B, sum C_i, grid, grid)``.
    """
    return torch.cat([_pooled(maps, grid, pool) for maps in features], dim=1)


def _pooled(maps: Tensor, grid: int, pool: int) -> Tensor:
    size = (min(grid, maps.shape[-2]), min(grid, maps.shape[-1]))
    if size != maps.shape[-2:]:
        maps = F.adaptive_avg_pool2d(maps, size)
    if pool > 1:
        maps = F.avg_pool2d(
            maps, pool, stride=1, padding=pool // 2, count_include_pad=False
        )
    if size == (grid, grid):
        return maps
    return F.interpolate(maps, (grid, grid), mode='bilinear', align_corners=False)


class FrozenFeatures(nn.Module):
    """A pretrained backbone that never learns, and its taps on one grid.

    Always in evaluation mode and without gradients, so its features are a function of
    the image and can be cached.

    Args:
        backbone: A backbone that returns several feature maps, or its config.
        grid: Side of the result.
        pool: ``None`` samples the taps at the points of the grid, as UniAD does (see
            :func:`align_concat`); a number averages each of them over so many places a
            side (see :func:`pool_concat`).

    Raises:
        ValueError: If ``pool`` is even or below 1; when called, if the backbone returns
            fewer than one map.
    """

    def __init__(
        self,
        *,
        backbone: Mapping[str, Any] | nn.Module,
        grid: int = 14,
        pool: int | None = None,
    ) -> None:
        super().__init__()
        if pool is not None and (pool < 1 or pool % 2 == 0):
            raise ValueError(
                f'pool={pool}: expected an odd number of places from 1, such as 3'
            )
        self.backbone: Any = backbone
        if not isinstance(backbone, nn.Module):
            self.backbone = MODELS.build(dict(backbone))
        drop_unused_stages(self.backbone)
        self.grid = grid
        self.pool = pool
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
        if self.pool is None:
            return align_concat(maps, self.grid)
        return pool_concat(maps, self.grid, self.pool)

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
