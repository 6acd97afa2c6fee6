"""Attention of transformers: equal to what the networks compute, in the right place."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.models import ImageClassifier
from mmpretrain.models.utils import ShiftWindowMSA
from torch import nn

from mmdefect.models.classification.head import DefectClsHead
from mmdefect.visualization.attention import (
    _stitched,
    attention_weights,
    swin_attention,
    vit_attention,
    window_scores,
)


def classifier(backbone: dict, neck: dict | None, head) -> ImageClassifier:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return ImageClassifier(backbone=backbone, neck=neck, head=head)


def vit(kind: str = 'VisionTransformer', **options) -> ImageClassifier:
    arch = dict(embed_dims=12, num_layers=3, num_heads=3, feedforward_channels=24)
    backbone = {'type': kind, 'arch': arch, 'img_size': (32, 48), **options}
    head = DefectClsHead(in_channels=12)
    if kind != 'VisionTransformer':
        head = {'type': 'DeiTClsHead', 'num_classes': 2, 'in_channels': 12}
    return classifier(backbone, None, head)


def swin(side: int = 224) -> ImageClassifier:
    arch = {'embed_dims': 8, 'depths': [1, 1, 3, 1], 'num_heads': [1, 1, 2, 2]}
    backbone = {'type': 'SwinTransformer', 'arch': arch, 'img_size': side}
    neck = {'type': 'GlobalAveragePooling'}
    return classifier(backbone, neck, DefectClsHead(in_channels=64))


class Planned(nn.Module):
    """Queries and keys whose product is what was asked for, each head its own.

    Args:
        scores: Score of each key, shape ``(heads, N)``; the same for every query.
        width: Channels of a head.
        scale: What the attention multiplies by.
    """

    def __init__(self, scores: torch.Tensor, width: int, scale: float) -> None:
        super().__init__()
        heads, number = scores.shape
        made = torch.zeros(number, 3, heads, width)
        made[:, 0, :, 0] = 1
        made[:, 1, :, 0] = scores.T / scale
        self.made = made.flatten(1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.made.expand(len(tokens), -1, -1)


def images(height: int, width: int, number: int = 2) -> torch.Tensor:
    seeded = torch.Generator().manual_seed(1)
    return torch.randn(number, 3, height, width, generator=seeded)


def test_smoke() -> None:
    found = vit_attention(vit(), images(32, 48))
    assert found.shape == (2, 32, 48)
    assert found.amin() >= 0
    assert found.amax((1, 2)).tolist() == [1, 1]


def test_feature_weights_are_those_of_the_block() -> None:
    block = vit().backbone.layers[1].attn.eval()
    tokens = torch.randn(2, 7, 12)
    weights = attention_weights(block, tokens)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 7))
    value = block.qkv(tokens).view(2, 7, 3, 3, 4)[:, :, 2].transpose(1, 2)
    mixed = (weights @ value).transpose(1, 2).reshape(2, 7, 12)
    torch.testing.assert_close(block.proj(mixed), block(tokens))


@pytest.mark.parametrize('kind', ['VisionTransformer', 'DistilledVisionTransformer'])
def test_feature_patches_are_where_they_are_seen(kind) -> None:
    """Two rows of three patches of 16 pixels; each head looks at another one."""
    model = vit(kind)
    extra = model.backbone.num_extra_tokens
    scores = torch.zeros(3, extra + 6)
    scores[:, 0] = 9  # the class token looks at itself most: left out
    for head, patch in enumerate((0, 2, 4)):
        scores[head, extra + patch] = 3
    model.backbone.layers[1].attn.qkv = Planned(scores, 4, 4**-0.5)
    batch = images(32, 48)
    for head, (row, column) in enumerate(((0, 0), (0, 2), (1, 1))):
        found = vit_attention(model, batch, block=1, head=head)[0]
        centres = found[8::16, 8::16]
        assert centres[row, column] == centres.max()
        assert (centres > 0.3).sum() == 1
    mean = vit_attention(model, batch, block=-2)[0]
    assert torch.equal(mean, vit_attention(model, batch, block=1)[0])
    peaks = mean[8::16, 8::16] > 0.5
    assert peaks.flatten().nonzero().flatten().tolist() == [0, 2, 4]


def test_feature_window_scores_are_those_of_the_block() -> None:
    block = swin().backbone.stages[2].blocks[1].attn.w_msa.eval()
    nn.init.normal_(block.relative_position_bias_table)
    windows = torch.randn(4, 49, block.embed_dims)
    scores = window_scores(block, windows)
    assert scores.shape == (4, 2, 49, 49)
    value = block.qkv(windows).view(4, 49, 3, 2, -1)[:, :, 2].transpose(1, 2)
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(windows.shape)
    torch.testing.assert_close(block.proj(mixed), block(windows))


@pytest.mark.parametrize(
    ('grid', 'shift'), [((14, 14), 0), ((14, 21), 3), ((10, 8), 3), ((7, 7), 3)]
)
def test_feature_windows_go_back_to_their_place(grid, shift) -> None:
    """Cut as ``ShiftWindowMSA.forward`` does, with its padding and its shift."""
    attention = ShiftWindowMSA(8, 2, 7, shift_size=shift)
    places = torch.arange(2.0 * grid[0] * grid[1]).view(2, *grid, 1)
    height, width = (-(-length // 7) * 7 for length in grid)
    padded = torch.zeros(2, height, width, 1)
    padded[:, : grid[0], : grid[1]] = places
    if min(grid) > 7:  # a single window is not shifted
        padded = padded.roll((-shift, -shift), dims=(1, 2))
    cut = attention.window_partition(padded, 7).view(-1, 49)
    assert torch.equal(_stitched(attention, cut, grid), places[..., 0])


def test_feature_swin_looks_where_its_keys_are() -> None:
    """Every window of the third stage's first block looks at its upper right corner."""
    model, batch = swin(), images(224, 224, number=1)
    attention = model.backbone.stages[2].blocks[0].attn
    attention.w_msa.relative_position_bias_table.data.zero_()
    scores = torch.zeros(2, 49)
    scores[0, 6] = 2
    width = attention.w_msa.embed_dims // 2
    attention.w_msa.qkv = Planned(scores, width, attention.w_msa.scale)
    for query in (None, 0, 30):
        found = swin_attention(model, batch, (2, 0), head=0, query=query)[0]
        centres = found[8::16, 8::16]
        assert centres.shape == (14, 14)
        assert (centres > 0.9).nonzero().tolist() == [[0, 6], [0, 13], [7, 6], [7, 13]]
    # The other head's scores are all equal: nothing is seen.
    assert not swin_attention(model, batch, (2, 0), head=1).any()


def test_feature_swin_default_block_and_size() -> None:
    model = swin()
    found = swin_attention(model, images(224, 224))
    assert found.shape == (2, 224, 224)
    assert found.amax((1, 2)).tolist() == [1, 1]
    assert torch.equal(found, swin_attention(model, images(224, 224), (-2, -1)))
    shifted = swin_attention(model, images(224, 288, 1), (2, 1))  # shifted and padded
    assert shifted.shape == (1, 224, 288)


def test_feature_modes_and_hooks_are_as_before() -> None:
    model = vit().train()
    model.backbone.layers[0].eval()
    vit_attention(model, images(32, 48))
    assert model.training
    assert model.backbone.layers[2].training
    assert not model.backbone.layers[0].training
    modules = list(model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)


def test_exception() -> None:
    model, batch = vit(), images(32, 48)
    other, large = swin(), images(224, 224, 1)
    pooled = vit(with_cls_token=False, out_type='avg_featmap')
    for call, message in (
        (lambda: vit_attention(model, batch, block=3), r'block=3: .* at most 2'),
        (lambda: vit_attention(model, batch, head=3), r'head=3: .* at most 2'),
        (lambda: swin_attention(model, batch), 'VisionTransformer: expected a Swin'),
        (lambda: vit_attention(other, large), 'SwinTransformer: expected a VisionT'),
        (lambda: swin_attention(other, large, (4, 0)), 'stage=4: '),
        (lambda: swin_attention(other, large, (0, 1)), r'block=1: .* at most 0'),
        (lambda: swin_attention(other, large, query=49), r'query=49: .* at most 48'),
        (lambda: vit_attention(pooled, batch), 'expected a .* with a class token'),
    ):
        with pytest.raises(ValueError, match=message):
            call()
