"""The transformer that reconstructs normal features (UniAD's, with IUF's conditions).

You et al., A Unified Model for Multi-class Anomaly Detection, NeurIPS 2022; Tang et
al., An Incremental Unified Framework for Small Defect Inspection, ECCV 2024. Tokens are
batch first: ``(B, T, width)`` with ``T = grid * grid``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Reconstruction(NamedTuple):
    """Output of the transformer for a batch.

    Attributes:
        features: Reconstructed features, shape ``(B, C, grid, grid)``.
        hidden: Normalised outputs of all decoder layers but the last, each of shape
            ``(B, T, width)``; what the semantic compression loss looks at.
    """

    features: Tensor
    hidden: list[Tensor]


class FeatureReconstructor(nn.Module):
    """Encoder and decoder over the tokens of a feature map.

    Args:
        in_channels: Channels of the features.
        grid: Side of the feature map.
        width: Channels of a token.
        depth: Encoder layers, and as many decoder layers.
        heads: Attention heads.
        ffn: Hidden channels of the feed-forward nets.
        dropout: In attention, after it, and in the feed-forward nets.
        neighbours: Side of the window around a token that it may not attend to, odd,
            0 for none; UniAD uses 7, IUF's configs mostly 0.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        grid: int = 14,
        width: int = 256,
        depth: int = 4,
        heads: int = 8,
        ffn: int = 1024,
        dropout: float = 0.1,
        neighbours: int = 0,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.input = nn.Linear(in_channels, width)
        self.position = LearnedPosition(grid=grid, width=width)
        sizes: dict[str, Any] = dict(width=width, heads=heads, ffn=ffn, dropout=dropout)
        self.encoder = nn.ModuleList(EncoderLayer(**sizes) for _ in range(depth))
        self.decoder = nn.ModuleList(
            DecoderLayer(tokens=grid * grid, **sizes) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, in_channels)
        mask = neighbour_mask(grid, neighbours) if neighbours else None
        self.mask: Tensor | None
        self.register_buffer('mask', mask, persistent=False)

    def forward(
        self, features: Tensor, conditions: Sequence[Tensor] | None = None
    ) -> Reconstruction:
        """Reconstruct ``(B, C, grid, grid)``, which may carry noise.

        Args:
            features: What the encoder sees.
            conditions: One map ``(B, T, width)`` an encoder layer, or none.
        """
        given: Sequence[Tensor | None] = conditions or [None] * len(self.encoder)
        position = self.position()
        x = self.input(features.flatten(2).mT)
        for layer, condition in zip(self.encoder, given, strict=True):
            x = layer(x, position, condition, self.mask)
        memory, hidden = x, []
        for layer in self.decoder:
            x = layer(x, memory, position, self.mask)
            # Only the copy that is collected is normalised, not what goes on.
            hidden.append(self.norm(x))
        made = self.output(hidden[-1]).mT.unflatten(2, (self.grid, self.grid))
        return Reconstruction(made, hidden[:-1])


class LearnedPosition(nn.Module):
    """A learned embedding of the column, then of the row, of every token."""

    def __init__(self, *, grid: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.rand(grid, width // 2))
        self.columns = nn.Parameter(torch.rand(grid, width // 2))

    def forward(self) -> Tensor:
        """Shape ``(grid * grid, width)``."""
        grid = len(self.rows)
        columns = self.columns[None].expand(grid, -1, -1)
        rows = self.rows[:, None].expand(-1, grid, -1)
        return torch.cat([columns, rows], dim=2).flatten(0, 1)


class EncoderLayer(nn.Module):
    """Self-attention whose queries a condition multiplies (IUF's object-aware one)."""

    def __init__(self, *, width: int, heads: int, ffn: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norm_attention = nn.LayerNorm(width)
        self.ffn = FeedForward(width=width, hidden=ffn, dropout=dropout)
        self.norm_ffn = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, position: Tensor, condition: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        """Tokens and condition of shape ``(B, T, width)``, tokens out."""
        placed = x + position
        # Element by element and before the query projection, as released.
        query = placed if condition is None else placed * condition
        mixed = attend(self.attention, query, placed, x, mask)
        x = self.norm_attention(x + self.dropout(mixed))
        return self.norm_ffn(x + self.dropout(self.ffn(x)))


class DecoderLayer(nn.Module):
    """Learned queries attend to the memory, then to the layer before."""

    def __init__(
        self, *, tokens: int, width: int, heads: int, ffn: int, dropout: float
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(tokens, width))
        self.memory_attention, self.layer_attention = (
            nn.MultiheadAttention(width, heads, dropout, batch_first=True)
            for _ in range(2)
        )
        self.ffn = FeedForward(width=width, hidden=ffn, dropout=dropout)
        self.norm_memory = nn.LayerNorm(width)
        self.norm_layer = nn.LayerNorm(width)
        self.norm_ffn = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, before: Tensor, memory: Tensor, position: Tensor, mask: Tensor | None
    ) -> Tensor:
        """``before`` is the output of the layer before, the memory for the first."""
        x = self.queries.expand(len(memory), -1, -1)
        for attention, norm, source in (
            (self.memory_attention, self.norm_memory, memory),
            (self.layer_attention, self.norm_layer, before),
        ):
            mixed = attend(attention, x + position, source + position, source, mask)
            x = norm(x + self.dropout(mixed))
        return self.norm_ffn(x + self.dropout(self.ffn(x)))


class FeedForward(nn.Module):
    """Two linear layers; the second's output is what the projected update spares."""

    def __init__(self, *, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(B, T, width)`` in and out."""
        return self.second(self.dropout(self.first(x).relu()))


def attend(
    attention: nn.MultiheadAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
) -> Tensor:
    """Multi-head attention without its weights, so that torch may fuse it."""
    return attention(query, key, value, attn_mask=mask, need_weights=False)[0]


def neighbour_mask(grid: int, size: int) -> Tensor:
    """Mask of the tokens that a token may not attend to: itself and its window.

    Args:
        grid: Side of the feature map.
        size: Side of the window, odd and below ``grid``: the token in the
            middle sees the rim.

    Returns:
        Bool, shape ``(T, T)``, true where attention is forbidden.

    Raises:
        ValueError: If the window is even, or so large that a token sees nothing.
    """
    if size % 2 == 0 or not 0 < size < grid:
        raise ValueError(
            f'neighbours={size}: expected an odd number below grid={grid}, or 0 for no '
            'mask'
        )
    place = torch.arange(grid)
    near = (place[:, None] - place).abs() <= size // 2
    # (row, column, row', column'): near in both directions.
    window = near[:, None, :, None] & near[None, :, None, :]
    return window.reshape(grid * grid, grid * grid)


def initialise(module: nn.Module) -> None:
    """Xavier-uniform weights and no biases for linear and convolutional layers."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif (
            isinstance(layer, nn.MultiheadAttention) and layer.in_proj_bias is not None
        ):
            nn.init.zeros_(layer.in_proj_bias)
