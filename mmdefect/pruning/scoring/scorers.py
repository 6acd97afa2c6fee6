"""How a filter is scored: what it shows against what is there to be seen.

Each scorer is a few lines around :mod:`mmdefect.functional.filter_score`; a better idea
is one more class here.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from mmdefect.functional import filter_score as score
from mmdefect.registry import TASK_UTILS
from mmdefect.utils.checks import check_choice, check_range


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a scorer may look at: one layer's filters on one batch.

    Attributes:
        weight: Of the layer, shape ``(C, ...)``.
        activation: Maps, shape ``(N, C, h, w)``.
        gradient: Of the classification loss by the maps, if the scorer asks for it.
        mask: Where the object is, shape ``(N, H, W)``, uint8, at the image's size: 255
            on the object, 0 elsewhere.
    """

    weight: Tensor
    activation: Tensor
    gradient: Tensor | None
    mask: Tensor

    def share(self) -> Tensor:
        """Resize the mask to the map, shape ``(N, h, w)``.

        1 where any of it falls on a pixel: thin cracks vanish in an average.
        """
        height, width = self.activation.shape[-2:]
        return score.resize_mask(self.mask.float() / 255, (height, width), 'any')


class FilterScorer:
    """Base of all scorers: higher is kept.

    Attributes:
        needs_gradient: Whether the loss has to be propagated back to the maps.
        needs_maps: Whether images are looked at.
        needs_mask: Whether it matters where the object is.
        signed: Whether scores may be negative.
    """

    needs_gradient = False
    needs_maps = True
    needs_mask = True
    signed = False

    def __call__(self, seen: Seen, generator: torch.Generator) -> Tensor:
        """Score filters ``(N, C)`` on a batch; the caller averages over images.

        Args:
            seen: Filters of a layer and what they show.
            generator: For scorers that draw.
        """
        raise NotImplementedError


ACTIVE = ('legacy', 'positive', 'quantile', 'soft')


@TASK_UTILS.register_module()
class SegIoU(FilterScorer):
    """Overlap of where a filter is active with where the object is (FTL's score).

    Żarski et al., Finicky Transfer Learning, CACAIE 2021: the mean over images of the
    intersection over union.

    Args:
        active: What counts as active. ``legacy``: the release's arithmetic, activations
            cut to uint8 and compared bit by bit with a mask that was shrunk
            bilinearly. ``positive``: above 0. ``quantile``: above the ``quantile`` of
            the filter's own map. ``soft``: in proportion to the map's maximum.
        quantile: With ``quantile``, in (0, 1).

    Raises:
        ValueError: An unknown ``active``, or a quantile out of range.
    """

    def __init__(self, *, active: str = 'quantile', quantile: float = 0.9) -> None:
        check_choice('active', active, ACTIVE)
        check_range('quantile', quantile, 0, 1, open_low=True, open_high=True)
        self.active = active
        self.quantile = quantile

    def __call__(self, seen: Seen, generator: torch.Generator) -> Tensor:
        """See the base class."""
        maps = seen.activation
        if self.active == 'legacy':
            mask = shrink_bilinear(seen.mask, (maps.shape[-2], maps.shape[-1]))
            return score.seg_iou_legacy(maps, mask)
        if self.active == 'soft':
            active = score.soft_active(maps)
        elif self.active == 'positive':
            active = score.positive_active(maps)
        else:
            active = score.quantile_active(maps, self.quantile)
        return score.seg_iou(active, seen.share())


@TASK_UTILS.register_module()
class SegContrast(FilterScorer):
    """Mean inside the object minus mean outside, in deviations of the map."""

    signed = True

    def __call__(self, seen: Seen, generator: torch.Generator) -> Tensor:
        """See the base class."""
        return score.seg_contrast(seen.activation, seen.share())


@TASK_UTILS.register_module()
class MaskedTaylor(FilterScorer):
    """First-order effect on the loss, counted on the object only."""

    needs_gradient = True

    def __call__(self, seen: Seen, generator: torch.Generator) -> Tensor:
        """See the base class."""
        return score.masked_taylor(seen.activation, _gradient(seen), seen.share())


@TASK_UTILS.register_module()
class Taylor(FilterScorer):
    """First-order effect on the loss (Molchanov et al., ICLR 2017); needs no masks."""

    needs_gradient = True
    needs_mask = False

    def __call__(self, seen: Seen, generator: torch.Generator) -> Tensor:
        """See the base class."""
        return score.taylor(seen.activation, _gradient(seen))


@TASK_UTILS.register_module()
class L1Norm(FilterScorer):
    """Sum of the filter's absolute weights (Li et al., ICLR 2017); needs no images."""

    needs_maps = False
    needs_mask = False

    def __call__(self, seen: Seen, generator: torch.Generator) -> Tensor:
        """See the base class."""
        return score.l1_norm(seen.weight)[None]


@TASK_UTILS.register_module()
class RandomScore(FilterScorer):
    """What every other score has to beat."""

    needs_maps = False
    needs_mask = False

    def __call__(self, seen: Seen, generator: torch.Generator) -> Tensor:
        """See the base class."""
        return torch.rand(1, len(seen.weight), generator=generator, dtype=torch.float64)


def shrink_bilinear(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize masks ``(N, H, W)`` uint8 by OpenCV's bilinear interpolation.

    OpenCV and not PyTorch, whose values at the rim differ: the release counts bits.
    """
    height, width = size
    resized = [
        cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR)
        for one in mask.cpu().numpy()
    ]
    return torch.from_numpy(np.stack(resized))


def _gradient(seen: Seen) -> Tensor:
    if seen.gradient is None:
        raise RuntimeError('gradient=None: expected gradients; see needs_gradient')
    return seen.gradient
