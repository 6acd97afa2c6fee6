"""Where transformers look: class-token attention of ViT, window attention of Swin.

Maps come as ``(B, H, W)`` at the size of the images, float32, from 0 to 1. Other than
Grad-CAM they hang on no class. The attention of a block is computed once more from what
the block was given, so the network itself may use any fused kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmdefect.utils.checks import check_range
from mmdefect.utils.modules import evaluating
from mmdefect.visualization.saliency import scaled_maps


def attention_weights(attention: nn.Module, tokens: Tensor) -> Tensor:
    """Attention of mmpretrain's ``MultiheadAttention``, head by head.

    Args:
        attention: The module.
        tokens: Its input (behind the norm), shape ``(B, N, C)``.

    Returns:
        Shape ``(B, heads, N, N)``; rows (queries) sum to 1.
    """
    query, key = _query_key(attention, tokens)
    return (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(dim=-1)


def window_scores(attention: nn.Module, windows: Tensor) -> Tensor:
    """Attention of mmpretrain's ``WindowMSA`` before softmax and mask, head by head.

    Args:
        attention: The module.
        windows: Its input, shape ``(windows, N, C)``.

    Returns:
        Shape ``(windows, heads, N, N)``, with the bias of relative positions.
    """
    module: Any = attention
    query, key = _query_key(module, windows)
    places = windows.shape[1]
    bias = module.relative_position_bias_table[module.relative_position_index.view(-1)]
    bias = bias.view(places, places, -1).permute(2, 0, 1)
    return query * module.scale @ key.transpose(-2, -1) + bias


@torch.no_grad()
def vit_attention(
    model: nn.Module, images: Tensor, block: int = -1, head: int | None = None
) -> Tensor:
    """What the class token of a ViT looks at in one block.

    The attention of the class token to the patches, on their grid, resized bilinearly
    and divided by its largest value, as the casting study has it (and, for the last
    block, Caron et al., ICCV 2021, "DINO").

    Args:
        model: Classifier with mmpretrain's ``VisionTransformer``.
        images: After the data preprocessor, shape ``(B, C, H, W)``.
        block: Index of the block, from the end if negative.
        head: Index of the attention head; the mean of all by default.

    Raises:
        ValueError: If the backbone is no ViT with a class token, or has no such block
            or head.
    """
    from mmpretrain.models.backbones import VisionTransformer

    backbone: Any = getattr(model, 'backbone', None)
    if not isinstance(backbone, VisionTransformer) or backbone.cls_token is None:
        raise ValueError(
            f'model.backbone={type(backbone).__name__}: expected a VisionTransformer '
            'with a class token; use Grad-CAM'
        )
    attention = _nth('block', backbone.layers, block).attn
    with (
        _calls_of(attention) as tokens,
        _calls_of(backbone.patch_embed) as grids,
        evaluating(model),
    ):
        model(images, mode='tensor')
    weights = attention_weights(attention, tokens[-1][0][0])
    # The class token comes first; other extra tokens (DeiT's) follow it.
    rows = weights[:, :, 0, backbone.num_extra_tokens :]
    height, width = grids[-1][1][1]
    maps = _of_head(rows, head).reshape(-1, int(height), int(width))
    return scaled_maps(maps, images.shape[-2:])


@torch.no_grad()
def swin_attention(
    model: nn.Module,
    images: Tensor,
    block: tuple[int, int] = (2, 2),
    head: int | None = None,
    query: int | None = None,
) -> Tensor:
    """What the windows of a Swin transformer look at in one block.

    The scores before the softmax of one query of each window, its windows put back
    onto the grid (and a shift taken back), minus the smallest value, resized bilinearly
    and divided by the largest: the casting study's map, which has the first query of
    the windows of the third stage's third block.

    Args:
        model: Classifier with mmpretrain's ``SwinTransformer``.
        images: After the data preprocessor, shape ``(B, C, H, W)``.
        block: Index of the stage and of the block in it, from the end if negative.
        head: Index of the attention head; the mean of all by default.
        query: Place in the window that looks, row after row; the mean of all by
            default, because no single place means more than another.

    Raises:
        ValueError: If the backbone is no Swin transformer, or has no such block, head
            or query.
    """
    from mmpretrain.models.backbones import SwinTransformer

    backbone: Any = getattr(model, 'backbone', None)
    if not isinstance(backbone, SwinTransformer):
        raise ValueError(
            f'model.backbone={type(backbone).__name__}: expected a SwinTransformer; '
            'use Grad-CAM'
        )
    stage = _nth('stage', backbone.stages, block[0])
    attention = _nth('block', stage.blocks, block[1]).attn
    with (
        _calls_of(attention) as grids,
        _calls_of(attention.w_msa) as windows,
        evaluating(model),
    ):
        model(images, mode='tensor')
    scores = _of_head(window_scores(attention.w_msa, windows[-1][0][0]), head)
    if query is None:
        seen = scores.mean(dim=1)
    else:
        check_range('query', query, -scores.shape[1], scores.shape[1] - 1)
        seen = scores[:, query]
    maps = _stitched(attention, seen, grids[-1][0][1])
    maps = maps - maps.amin(dim=(1, 2), keepdim=True)
    return scaled_maps(maps, images.shape[-2:])


def _stitched(attention: Any, seen: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put windows back where they were cut: ``(B * windows, N)`` to ``(B, h, w)``."""
    side = attention.window_size
    height, width = (-(-length // side) * side for length in grid)
    windows = seen.view(-1, side, side, 1)
    maps = attention.window_reverse(windows, height, width, side)[..., 0]
    # A map of one window is not shifted, see ShiftWindowMSA.forward.
    if min(grid) > side or attention.pad_small_map:
        maps = maps.roll((attention.shift_size, attention.shift_size), dims=(1, 2))
    return maps[:, : grid[0], : grid[1]]


def _query_key(attention: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    batch, number, _ = tokens.shape
    made = attention.qkv(tokens).reshape(batch, number, 3, attention.num_heads, -1)
    query, key, _ = made.permute(2, 0, 3, 1, 4)
    return query, key


def _of_head(values: Tensor, head: int | None) -> Tensor:
    """One head of ``(B, heads, ...)``, or their mean."""
    if head is None:
        return values.mean(dim=1)
    check_range('head', head, -values.shape[1], values.shape[1] - 1)
    return values[:, head]


def _nth(what: str, modules: Any, index: int) -> Any:
    check_range(what, index, -len(modules), len(modules) - 1)
    return modules[index]


@contextmanager
def _calls_of(module: nn.Module) -> Iterator[list[tuple[tuple, Any]]]:
    """Positional arguments and result of every call."""
    calls: list[tuple[tuple, Any]] = []
    handle = module.register_forward_hook(
        lambda _, args, output: calls.append((args, output))
    )
    try:
        yield calls
    finally:
        handle.remove()
