"""Tells the reconstruction which product it looks at (IUF's discriminator)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from mmdefect.registry import MODELS
from mmdefect.utils.checks import check_choice


class Conditions(NamedTuple):
    """Output of the conditioner for a batch.

    Attributes:
        maps: One map a block, shape ``(B, grid * grid, width)``, without gradient.
        logits: Of the product, shape ``(B, num_classes)``.
    """

    maps: list[Tensor]
    logits: Tensor


@MODELS.register_module()
class ObjectConditioner(nn.Module):
    """Classifies the product; its block outputs condition the encoder's queries.

    Trained by the product's label alone: what it hands out is detached, so the
    reconstruction loss never reaches it, and inference needs no label.

    ``source='image'`` is the network of the IUF release: the RGB image at full
    resolution, attention along its rows. It costs 97 % of the model and sees little
    more than colours, having no positions and a 1x1 stem. ``source='features'``, the
    default, looks at the frozen backbone's features on their own grid instead and
    attends to all of it: some 250 times cheaper, and trainable from cached features.

    Args:
        num_classes: Products seen so far.
        in_channels: Channels of the source: 3, or those of the features.
        width: Channels of a block.
        depth: Blocks; the encoder takes one condition a layer.
        heads: Attention heads.
        grid: Side of the maps that are handed out.
        source: ``'features'`` or ``'image'``.
        fused: Attention without its matrix in memory (same numbers to rounding).
        recompute: Blocks are computed again in the backward pass instead of kept.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int,
        width: int = 256,
        depth: int = 4,
        heads: int = 4,
        grid: int = 14,
        source: str = 'features',
        fused: bool = True,
        recompute: bool = False,
    ) -> None:
        super().__init__()
        check_choice('conditioner.source', source, ('features', 'image'))
        self.source = source
        self.grid = grid
        self.recompute = recompute
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.blocks = nn.ModuleList(
            ConditionerBlock(
                width=width, heads=heads, rows=source == 'image', fused=fused
            )
            for _ in range(depth)
        )
        self.neck = nn.Linear(width, width)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, source: Tensor) -> Conditions:
        """Condition on images ``(B, 3, H, W)`` or features ``(B, C, h, w)``."""
        x = self.stem(source).permute(0, 2, 3, 1)
        maps = []
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
            maps.append(self._pooled(x.detach()))
        logits = self.classifier(self.neck(x.mean(dim=(1, 2))).relu())
        return Conditions(maps, logits)

    def _pooled(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), self.grid).flatten(2).mT


class ConditionerBlock(nn.Module):
    """Attention and MLP, each behind a LayerNorm and beside a skip connection.

    Args:
        width: Channels.
        heads: Attention heads.
        rows: Attend within each row of the grid instead of over all of it.
        fused: As in :class:`ObjectConditioner`.
    """

    def __init__(self, *, width: int, heads: int, rows: bool, fused: bool) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f'width={width}: expected a multiple of heads={heads}')
        self.heads = heads
        self.rows = rows
        self.fused = fused
        self.norm_attention = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(B, H, W, width)`` in and out."""
        x = x + self._attend(self.norm_attention(x))
        return x + self.mlp(self.norm_mlp(x))

    def _attend(self, x: Tensor) -> Tensor:
        # Sequences: the rows of every image, or every image as a whole.
        sequences = x.flatten(0, 1) if self.rows else x.flatten(1, 2)
        query, key, value = (
            layer(sequences).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        if self.fused:
            mixed = F.scaled_dot_product_attention(query, key, value)
        else:
            scores = query @ key.mT / query.shape[-1] ** 0.5
            mixed = scores.softmax(dim=-1) @ value
        return self.out(mixed.transpose(1, 2).flatten(2)).view_as(x)
