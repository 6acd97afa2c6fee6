"""Scores of filters: activations against the segmentation mask of an object.

Żarski, Wójcik, Książek and Miszczak, Finicky Transfer Learning, CACAIE 2021
(10.1111/mice.12755), scores a filter by the overlap of both; beside it stand other
measures and the baselines that need no mask.

Activations and gradients are maps of shape ``(N, C, h, w)``, masks are in [0, 1] and of
shape ``(N, h, w)``. Scores are float64, one an image and channel, ``(N, C)``, so that a
caller can average without keeping maps. Shapes that do not belong together and values
that are not finite raise a ValueError.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def legacy_active(activation: Tensor) -> Tensor:
    """Activations as the release's uint8: cut toward zero, then modulo 256.

    Example:
        >>> legacy_active(torch.tensor([0, 0.9, 1, 255, 256, 300]))
        tensor([  0,   0,   1, 255,   0,  44], dtype=torch.uint8)
    """
    _check_finite(activation)
    return activation.trunc().to(torch.int64).remainder(256).to(torch.uint8)


def seg_iou_legacy(activation: Tensor, mask: Tensor) -> Tensor:
    """FTL's score with the release's arithmetic.

    Pixels count as intersection where activation AND mask have a bit in common, as
    union where either has any; both as uint8.

    Args:
        activation: Maps behind the ReLU.
        mask: uint8: 255 on the object, shrunk to the map's size, so that values between
            occur at its rim.

    Example:
        >>> maps = torch.tensor([[[[3.0, 0], [5, 0]]]])
        >>> mask = torch.tensor([[[255, 255], [0, 0]]], dtype=torch.uint8)
        >>> seg_iou_legacy(maps, mask)
        tensor([[0.3333]], dtype=torch.float64)
    """
    _check_shapes(activation, mask)
    if mask.dtype != torch.uint8:
        raise ValueError(f'mask.dtype={mask.dtype}: expected uint8, 0 to 255')
    values, bits = legacy_active(activation), mask[:, None]
    both = ((values & bits) != 0).sum(dim=(2, 3)).double()
    either = ((values | bits) != 0).sum(dim=(2, 3)).double()
    return both / either.clamp(min=1)


def positive_active(activation: Tensor) -> Tensor:
    """Pixels above 0; boolean, same shape.

    Example:
        >>> positive_active(torch.tensor([-1.0, 0, 2]))
        tensor([False, False,  True])
    """
    _check_finite(activation)
    return activation > 0


def quantile_active(activation: Tensor, quantile: float) -> Tensor:
    """Pixels above 0 that reach the quantile of their own map; boolean, same shape.

    Args:
        activation: The maps.
        quantile: In [0, 1]; 0.9 leaves the highest tenth of the pixels, one at least,
            and whatever equals the lowest of them: a map of 0 and 6 shows all its 6.

    Example:
        >>> quantile_active(torch.tensor([[[[1.0, 2], [3, 4]]]]), 0.75)
        tensor([[[[False, False],
                  [False,  True]]]])
    """
    if not 0 <= quantile <= 1:
        raise ValueError(f'quantile={quantile}: expected at least 0 and at most 1')
    _check_finite(activation)
    pixels = activation.flatten(2)
    size = pixels.shape[2]
    shown = max(1, round((1 - quantile) * size))
    # The k-th of the sorted pixels: torch.quantile refuses large maps.
    border = pixels.kthvalue(size - shown + 1, dim=2).values[..., None, None]
    return (activation >= border) & (activation > 0)


def soft_active(activation: Tensor) -> Tensor:
    """Positive part of a map over its maximum, in [0, 1]; a map of zeros stays zero.

    Example:
        >>> soft_active(torch.tensor([[[[-1.0, 1, 4]]]]))
        tensor([[[[0.0000, 0.2500, 1.0000]]]], dtype=torch.float64)
    """
    _check_finite(activation)
    positive = activation.double().clamp(min=0)
    return positive / positive.amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)


def seg_iou(active: Tensor, mask: Tensor) -> Tensor:
    """Intersection over union, of sets or of shares: ``sum(min) / sum(max)``.

    ``active`` is boolean or in [0, 1]. An empty union scores 0.

    Example:
        >>> seg_iou(torch.tensor([[[[1.0, 1, 0]]]]), torch.tensor([[[1, 0.5, 0]]]))
        tensor([[0.7500]], dtype=torch.float64)
    """
    _check_shapes(active, mask)
    shown, there = active.double(), mask.double()[:, None]
    both = torch.minimum(shown, there).sum(dim=(2, 3))
    either = torch.maximum(shown, there).sum(dim=(2, 3))
    return torch.where(either > 0, both / either.clamp(min=1e-12), 0.0)


def seg_contrast(activation: Tensor, mask: Tensor) -> Tensor:
    """Mean inside the object minus mean outside, in standard deviations of the map.

    0 where the map is flat, or all or nothing is object.

    Example:
        >>> seg_contrast(torch.tensor([[[[2.0, 0]]]]), torch.tensor([[[1, 0]]]))
        tensor([[2.]], dtype=torch.float64)
    """
    _check_shapes(activation, mask)
    _check_finite(activation)
    maps, there = activation.double(), mask.double()[:, None]
    inside, outside = there.sum(dim=(2, 3)), (1 - there).sum(dim=(2, 3))
    mean_in = (maps * there).sum(dim=(2, 3)) / inside.clamp(min=1e-12)
    mean_out = (maps * (1 - there)).sum(dim=(2, 3)) / outside.clamp(min=1e-12)
    spread = maps.std(dim=(2, 3), correction=0)
    defined = (spread > 0) & (inside > 0) & (outside > 0)
    return torch.where(defined, (mean_in - mean_out) / spread.clamp(min=1e-12), 0.0)


def taylor(activation: Tensor, gradient: Tensor) -> Tensor:
    """First-order change of the loss when a channel is set to zero.

    ``|sum of a * dL/da over the map|`` (Molchanov et al., Pruning Convolutional Neural
    Networks for Resource Efficient Inference, ICLR 2017, eq. 8, without its mean).

    Example:
        >>> taylor(torch.tensor([[[[1.0, 2]]]]), torch.tensor([[[[1.0, -3]]]]))
        tensor([[5.]], dtype=torch.float64)
    """
    _check_same(activation, gradient)
    return (activation.double() * gradient.double()).sum(dim=(2, 3)).abs()


def masked_taylor(activation: Tensor, gradient: Tensor, mask: Tensor) -> Tensor:
    """First-order effect of the pixels on the object: ``sum of |a * dL/da| * mask``.

    Example:
        >>> maps, mask = torch.tensor([[[[1.0, 2]]]]), torch.tensor([[[0, 1]]])
        >>> masked_taylor(maps, -maps, mask)
        tensor([[4.]], dtype=torch.float64)
    """
    _check_same(activation, gradient)
    _check_shapes(activation, mask)
    effect = (activation.double() * gradient.double()).abs()
    return (effect * mask.double()[:, None]).sum(dim=(2, 3))


def l1_norm(weight: Tensor) -> Tensor:
    """Sum of a filter's absolute weights (Li et al., ICLR 2017), shape ``(C,)``.

    Example:
        >>> l1_norm(torch.tensor([[1.0, -2], [0, 3]]))
        tensor([3., 3.], dtype=torch.float64)
    """
    return weight.double().abs().flatten(1).sum(dim=1)


def resize_mask(mask: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Shrink masks to the size of a map.

    Args:
        mask: In [0, 1], shape ``(N, H, W)``.
        size: ``(h, w)``.
        mode: ``'any'``, the largest value that falls on a pixel, so that thin cracks
            survive; ``'area'``, the mean.

    Returns:
        Shape ``(N, h, w)``.

    Raises:
        ValueError: An unknown mode, or masks of another shape.

    Example:
        >>> resize_mask(torch.tensor([[[0.0, 1, 0, 0]]]), (1, 2), 'area')
        tensor([[[0.5000, 0.0000]]])
    """
    if mask.ndim != 3:
        raise ValueError(f'mask.shape={tuple(mask.shape)}: expected (N, H, W)')
    if mode not in ('any', 'area'):
        raise ValueError(f'mode={mode!r}: expected one of any, area')
    pool = F.adaptive_max_pool2d if mode == 'any' else F.adaptive_avg_pool2d
    return pool(mask[:, None].float(), size)[:, 0]


def _check_finite(activation: Tensor) -> None:
    if not bool(activation.isfinite().all()):
        raise ValueError(
            'activation with NaN or infinity: expected finite numbers; check the '
            'weights and the range of the images'
        )


def _check_shapes(maps: Tensor, mask: Tensor) -> None:
    if maps.ndim != 4 or mask.shape != (len(maps), *maps.shape[2:]):
        raise ValueError(
            f'maps.shape={tuple(maps.shape)}, mask.shape={tuple(mask.shape)}: '
            'expected (N, C, h, w) and (N, h, w)'
        )


def _check_same(activation: Tensor, gradient: Tensor) -> None:
    if activation.ndim != 4 or activation.shape != gradient.shape:
        raise ValueError(
            f'activation.shape={tuple(activation.shape)}, '
            f'gradient.shape={tuple(gradient.shape)}: expected (N, C, h, w) of both'
        )
