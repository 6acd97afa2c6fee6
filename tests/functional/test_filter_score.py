"""How filters are scored: the release's bits, sets and shares, gradients, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmdefect.functional.filter_score import (
    l1_norm,
    legacy_active,
    masked_taylor,
    positive_active,
    quantile_active,
    resize_mask,
    seg_contrast,
    seg_iou,
    seg_iou_legacy,
    soft_active,
    taylor,
)

VALUES = torch.tensor([0.0, 0.9, 1.0, 255.0, 256.0, 300.0])
NAN, INF = float('nan'), float('inf')


def one_map(*rows) -> torch.Tensor:
    """A map ``(1, 1, h, w)``."""
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def one_mask(*rows, dtype=torch.uint8) -> torch.Tensor:
    return torch.tensor(rows, dtype=dtype)[None]


def random_case(seed=0, images=2, channels=3, size=(5, 7)):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(images, channels, *size, generator=generator) * 600 - 100
    mask = torch.rand(images, *size, generator=generator) < 0.4
    return maps, mask


def test_feature_legacy_values_are_numpys() -> None:
    values = torch.linspace(0, 2000, 3001)
    numpy = np.trunc(values.numpy()).astype(np.int64).astype(np.uint8)
    assert legacy_active(values).tolist() == numpy.tolist()


def test_feature_legacy_active_flags() -> None:
    """Activations 0, 0.9, 1, 255, 256, 300 on an object: active 0, 0, 1, 1, 0, 1."""
    maps = VALUES.reshape(1, 6, 1, 1)  # a channel each
    scores = seg_iou_legacy(maps, torch.full((1, 1, 1), 255, dtype=torch.uint8))
    assert scores.tolist() == [[0, 0, 1, 1, 0, 1]]
    # All of them as one map of six object pixels: 3 of 6.
    together = seg_iou_legacy(VALUES.view(1, 1, 2, 3), one_mask([255] * 3, [255] * 3))
    assert together.item() == 0.5


def test_feature_legacy_empty_union_is_zero() -> None:
    scores = seg_iou_legacy(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4).byte())
    assert torch.equal(scores, torch.zeros(2, 3, dtype=torch.float64))


def test_feature_legacy_rim_misses_bits() -> None:
    """64 and 128 have no bit in common: both are there, and do not intersect."""
    maps, mask = one_map([64.0, 64.0, 192.0]), one_mask([128, 64, 128])
    assert seg_iou_legacy(maps, mask).item() == pytest.approx(2 / 3)
    assert seg_iou(positive_active(maps), mask > 0).item() == 1


def test_feature_legacy_is_set_logic_with_full_masks() -> None:
    maps, mask = random_case()
    expected = seg_iou(maps.trunc().to(torch.int64) % 256 != 0, mask)
    found = seg_iou_legacy(maps, mask.byte() * 255)
    torch.testing.assert_close(found, expected)


def test_feature_iou_bounds() -> None:
    maps, mask = random_case(1)
    perfect = mask[:, None].expand(-1, 3, -1, -1)
    assert torch.equal(seg_iou(perfect, mask), torch.ones(2, 3).double())
    assert torch.equal(seg_iou(~perfect, mask), torch.zeros(2, 3).double())
    assert seg_iou(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2)).item() == 0
    between = seg_iou(positive_active(maps), mask)
    assert bool(((between > 0) & (between < 1)).all())


def test_feature_scores_add_up_over_batches() -> None:
    """One image's score does not depend on its neighbours."""
    maps, mask = random_case(2, images=4)
    gradient = torch.randn(maps.shape, generator=torch.Generator().manual_seed(0))
    for score in (
        lambda a, g, m: seg_iou(soft_active(a), m),
        lambda a, g, m: seg_iou(quantile_active(a, 0.8), m),
        lambda a, g, m: seg_iou_legacy(a, m.byte() * 255),
        lambda a, g, m: seg_contrast(a, m),
        lambda a, g, m: taylor(a, g),
        masked_taylor,
    ):
        alone = [
            score(maps[i : i + 1], gradient[i : i + 1], mask[i : i + 1])
            for i in range(4)
        ]
        together = score(maps, gradient, mask)
        assert together.shape == (4, 3)
        torch.testing.assert_close(together, torch.cat(alone))
        assert together.dtype == torch.float64


def test_feature_quantile() -> None:
    maps = torch.arange(1.0, 11.0).reshape(1, 1, 2, 5)
    shown = [quantile_active(maps, q).sum().item() for q in (0, 0.5, 0.7, 0.9, 1)]
    assert shown == [10, 5, 3, 1, 1]
    assert quantile_active(maps, 0.7).nonzero()[:, 2:].tolist() == [
        [1, 2],
        [1, 3],
        [1, 4],
    ]
    # Each map has a quantile of its own.
    both = torch.cat([maps, 100 * maps.flip(3)], dim=1)
    assert quantile_active(both, 0.7).sum(dim=(2, 3)).tolist() == [[3, 3]]
    # Below 0 nothing is active.
    assert quantile_active(maps - 9, 0.5).sum().item() == 1
    assert quantile_active(-maps, 0.5).sum().item() == 0


@pytest.mark.parametrize('side', [1, 2, 3])
def test_feature_quantile_of_small_maps(side) -> None:
    """The highest pixel is active even where a tenth is less than one."""
    maps = torch.arange(1.0, side**2 + 1).reshape(1, 1, side, side)
    active = quantile_active(maps, 0.9)
    assert active.flatten().nonzero().flatten().tolist() == [side**2 - 1]


def test_feature_quantile_of_a_plateau() -> None:
    """A filter that is 6 on a fifth of the map (ReLU6) shows all of that."""
    maps = torch.zeros(1, 1, 5, 5)
    maps[..., 0, :] = 6
    assert torch.equal(quantile_active(maps, 0.9), maps > 0)


def test_feature_soft() -> None:
    maps = torch.tensor([[[[-1.0, 2.0, 4.0]], [[0.0, 0.0, 0.0]], [[-2.0, -1.0, -3.0]]]])
    found = soft_active(maps)
    assert found.tolist() == [[[[0, 0.5, 1]], [[0, 0, 0]], [[0, 0, 0]]]]
    assert soft_active(maps.half()).tolist() == found.tolist()
    torch.testing.assert_close(soft_active(1000 * maps), found)


def test_feature_contrast_by_hand() -> None:
    """3, 3 inside and 1, 1, 0, 2 outside: 3 - 1 in deviations of sqrt(11 / 9)."""
    maps = one_map([3.0, 3.0, 1.0], [1.0, 0.0, 2.0])
    mask = one_mask([1, 1, 0], [0, 0, 0])
    expected = 2 / maps.double().std(correction=0).item()
    assert expected == pytest.approx(2 / (11 / 9) ** 0.5)
    assert seg_contrast(maps, mask).item() == pytest.approx(expected)
    # Inverted maps see the background; scale and shift do not matter.
    assert seg_contrast(-maps, mask).item() == pytest.approx(-expected)
    assert seg_contrast(7 * maps + 100, mask).item() == pytest.approx(expected)


def test_feature_contrast_of_a_soft_mask() -> None:
    """Means weighted by the mask: (0.5 x 4 + 2) / 1.5 and (0.5 x 4 + 0) / 1.5."""
    maps = one_map([4.0, 2.0, 0.0])
    mask = one_mask([0.5, 1.0, 0.0], dtype=torch.float32)
    expected = (4 / 1.5 - 2 / 1.5) / (8 / 3) ** 0.5
    assert seg_contrast(maps, mask).item() == pytest.approx(expected)


def test_feature_contrast_undefined_is_zero() -> None:
    maps, mask = random_case(3)
    for nothing in (torch.zeros_like(mask), torch.ones_like(mask)):
        assert seg_contrast(maps, nothing).tolist() == [[0] * 3] * 2
    flat = torch.full_like(maps, 1000.1)
    assert seg_contrast(flat, mask).tolist() == [[0] * 3] * 2


def linear_toy(zeroed: int | None = None):
    """Maps of three filters, a loss that is linear in them, with one filter zeroed."""
    generator = torch.Generator().manual_seed(5)
    maps = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 4, 4, generator=generator, dtype=torch.float64)
    if zeroed is not None:
        maps[:, zeroed] = 0
    maps.requires_grad_(True)
    losses = (maps * weight).sum(dim=(1, 2, 3))
    return maps, losses


def test_feature_taylor_is_what_zeroing_changes() -> None:
    """Of a linear loss the first order is all there is: exact."""
    maps, losses = linear_toy()
    (gradient,) = torch.autograd.grad(losses.sum(), maps)
    scores = taylor(maps, gradient).detach()
    for channel in range(3):
        change = (losses - linear_toy(channel)[1]).abs().detach()
        torch.testing.assert_close(scores[:, channel], change)


def test_feature_masked_taylor() -> None:
    maps, gradient = one_map([1.0, -2.0, 3.0]), one_map([1.0, 1.0, 1.0])
    # Signs cancel out in the sum over the map, and not pixel by pixel.
    assert taylor(maps, gradient).item() == 2
    assert masked_taylor(maps, gradient, one_mask([1, 1, 1])).item() == 6
    assert masked_taylor(maps, gradient, one_mask([1, 1, 0])).item() == 3
    half = one_mask([0.5, 0.0, 0.0], dtype=torch.float32)
    assert masked_taylor(maps, gradient, half).item() == 0.5
    assert masked_taylor(maps, gradient, one_mask([0, 0, 0])).item() == 0


def test_feature_l1() -> None:
    weight = torch.tensor([[[[1.0, -2.0]]], [[[0.0, 0.5]]]])
    assert l1_norm(weight).tolist() == [3, 0.5]
    assert l1_norm(torch.ones(4, 7)).tolist() == [7] * 4  # linear layers, too


def test_feature_resize_any_keeps_thin_cracks() -> None:
    mask = torch.zeros(1, 8, 8)
    mask[0, :, 3] = 1
    assert resize_mask(mask, (2, 2), 'any').tolist() == [[[1, 0], [1, 0]]]
    assert resize_mask(mask, (2, 2), 'area').tolist() == [[[0.25, 0], [0.25, 0]]]


@pytest.mark.parametrize('score', [seg_iou, seg_iou_legacy, seg_contrast])
@pytest.mark.parametrize(
    ('maps', 'mask'),
    [((1, 2, 3, 3), (1, 3, 4)), ((2, 2, 3, 3), (1, 3, 3)), ((2, 3, 3), (2, 3, 3))],
)
def test_exception_shapes(score, maps, mask) -> None:
    with pytest.raises(ValueError, match=r'expected \(N, C, h, w\) and \(N, h, w\)'):
        score(torch.rand(maps), torch.zeros(mask, dtype=torch.uint8))


def test_exception_gradients() -> None:
    maps, mask = torch.rand(1, 2, 3, 3), torch.ones(1, 3, 3)
    with pytest.raises(ValueError, match=r'gradient.shape=\(1, 2, 3, 4\)'):
        taylor(maps, torch.rand(1, 2, 3, 4))
    with pytest.raises(ValueError, match=r'expected \(N, C, h, w\) of both'):
        taylor(maps[0], maps[0])
    with pytest.raises(ValueError, match=r'activation.shape=.* gradient.shape='):
        masked_taylor(maps, maps[:, :1], mask)
    with pytest.raises(ValueError, match=r'mask.shape=\(1, 2, 3\)'):
        masked_taylor(maps, maps, mask[:, :2])


def test_exception_legacy_mask() -> None:
    with pytest.raises(ValueError, match=r'torch.float32: expected uint8'):
        seg_iou_legacy(torch.rand(1, 2, 3, 3), torch.ones(1, 3, 3))


@pytest.mark.parametrize('value', [NAN, INF])
@pytest.mark.parametrize(
    'score',
    [
        legacy_active,
        positive_active,
        soft_active,
        lambda maps: quantile_active(maps, 0.9),
        lambda maps: seg_contrast(maps, torch.ones(1, 3, 3)),
        lambda maps: seg_iou_legacy(maps, torch.ones(1, 3, 3).byte()),
    ],
)
def test_exception_not_finite(score, value) -> None:
    maps = torch.ones(1, 2, 3, 3)
    maps[0, 1, 2, 2] = value
    with pytest.raises(ValueError, match='activation with NaN or infinity'):
        score(maps)


@pytest.mark.parametrize('quantile', [-0.1, 1.1, NAN])
def test_exception_quantile(quantile) -> None:
    with pytest.raises(
        ValueError, match=r'quantile=.*: expected at least 0 and at most 1'
    ):
        quantile_active(torch.rand(1, 1, 2, 2), quantile)


def test_exception_resize() -> None:
    with pytest.raises(ValueError, match="mode='bilinear': expected one of any, area"):
        resize_mask(torch.rand(1, 4, 4), (2, 2), 'bilinear')
    with pytest.raises(ValueError, match=r'shape=\(4, 4\): expected \(N, H'):
        resize_mask(torch.rand(4, 4), (2, 2), 'any')
