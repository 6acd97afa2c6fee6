"""Mean and variance of features within boxes and outside: what an image looks like."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def place_weights(inside: Tensor, size: tuple[int, int]) -> Tensor:
    """How much each place of a feature map counts within boxes, and outside.

    Args:
        inside: 1 within boxes, 0 outside, NaN where an image is padded,
            ``(N, 1, H, W)``.
        size: Height and width ``(h, w)`` of the map. A place that is padded in part is
            left out.

    Returns:
        Shape ``(2, N, 1, h, w)``; each of the two sums to 1, or is 0 throughout.

    Example:
        >>> inside = torch.tensor([[[[1.0, 1, 0, 0], [1, 1, 0, 0]]]])
        >>> place_weights(inside, (1, 2)).flatten(1)
        tensor([[1., 0.],
                [0., 1.]])
    """
    share = interpolate(inside, size=size, mode='area')
    both = torch.stack([share, 1 - share]).nan_to_num(0)
    return both / both.sum(dim=(1, 2, 3, 4), keepdim=True).clamp(min=1e-6)


def region_moments(features: Tensor, weights: Tensor) -> Tensor:
    """Mean and variance of each channel over places, once within boxes, once outside.

    Args:
        features: Shape ``(N, C, h, w)``.
        weights: Of :func:`place_weights`, ``(2, N, 1, h, w)``.

    Returns:
        Shape ``(2, 2, C)``: region, then mean and variance; NaN of a region without
        a place.

    Example:
        >>> inside = torch.tensor([[[[1.0, 1, 0, 0]]]])
        >>> features = torch.tensor([[[[1.0, 3, 7, 7]]]])
        >>> region_moments(features, place_weights(inside, (1, 4))).flatten(1)
        tensor([[2., 1.],
                [7., 0.]])
    """
    means = (features * weights).sum(dim=(1, 3, 4))
    squares = (features.square() * weights).sum(dim=(1, 3, 4))
    moments = torch.stack([means, (squares - means.square()).clamp(min=0)], dim=1)
    empty = weights.flatten(1).sum(dim=1) == 0
    return moments.masked_fill(empty[:, None, None], torch.nan)


def moment_distance(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """How far moments are from others: means in deviations, deviations as ratios.

    The mean over layers of ``(m - m*)^2 / v* + (log v / v*)^2 / 4``, each a mean over
    channels and the regions that both have. In the spirit of DeepInversion (Yin et al.,
    CVPR 2020), which takes plain differences.

    Args:
        found: Of each layer, ``(2, 2, C)``.
        wanted: The same; variances below 1e-6 count as 1e-6.

    Returns:
        A scalar, at least 0.

    Example:
        >>> one = torch.tensor([[[0.0], [1]], [[0], [1]]])
        >>> moment_distance([one + torch.tensor([[2.0], [0]])], [one])
        tensor(4.)
    """
    total = found[0].new_zeros(())
    for ours, theirs in zip(found, wanted, strict=True):
        known = ~(ours.isnan() | theirs.isnan()).flatten(1).any(dim=1)
        if not known.any():
            continue
        (mean, variance), (goal, spread) = (
            ours[known].unbind(1),
            theirs[known].unbind(1),
        )
        spread = spread.clamp(min=1e-6)
        total = total + ((mean - goal).square() / spread).mean()
        ratio = variance.clamp(min=1e-6) / spread
        total = total + ratio.log().square().mean() / 4
    return total / len(found)
