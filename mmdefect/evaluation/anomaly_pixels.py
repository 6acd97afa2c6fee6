"""Rank the pixels of a product's anomaly maps: all at once, or as histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mmdefect.functional.histogram_ranking import (
    NUM_CODES,
    count_pixels,
    half_codes,
    rank_histograms,
)
from mmdefect.functional.ranking import Ranking, rank_scores

# Pixels that are gathered, in 2 MB, before they are counted: adding up histograms takes
# as long as counting a small map.
COUNTED_AT_ONCE = 1 << 20


@dataclass(kw_only=True)
class ImageRecord:
    """One image of a product.

    Attributes:
        product: Class of the image.
        label: 0 good, 1 defective; from the dataset, never from the mask, where a
            small defect may have vanished.
        score: Larger is more anomalous.
        outlined: Whether its defect pixels are known.
        pixels: Anomaly map, float32, shape ``(h, w)``; ``None`` where not kept.
        mask: Defect pixels, bool, shape ``(H, W)``; ``None`` where there are none.
        alarm: Whether the model raised one; ``None`` if it has no alarm.
        routed: Whether it recognised the product; ``None`` if it does not try.
    """

    product: str
    label: int
    score: float
    outlined: bool = False
    pixels: Tensor | None = None
    mask: Tensor | None = None
    alarm: bool | None = None
    routed: bool | None = None

    @property
    def is_finite(self) -> bool:
        """Whether all can be ranked, also once the map is resized."""
        if not math.isfinite(self.score):
            return False
        if self.pixels is None or not self.pixels.numel():
            return True
        low, high = self.pixels.aminmax()  # both NaN if any is
        return bool(low.isfinite() & high.isfinite())

    def forget_pixels(self) -> None:
        """Let go of what takes memory."""
        self.pixels = self.mask = None

    def scores(self, align_corners: bool) -> Tensor:
        """Anomaly map at the size of the mask, resized bilinearly if it differs.

        Args:
            align_corners: Whether corner pixels keep their values, as in torch.

        Raises:
            ValueError: If the map was not kept.
        """
        if self.pixels is None:
            raise ValueError(
                f'pixels=None of an image of {self.product!r}: expected its anomaly '
                'map; rank before forget_pixels'
            )
        if self.mask is None or self.mask.shape == self.pixels.shape:
            return self.pixels
        return interpolate(
            self.pixels[None, None],
            size=tuple(self.mask.shape),
            mode='bilinear',
            align_corners=align_corners,
        )[0, 0]

    def defects(self) -> tuple[Tensor, Tensor] | None:
        """Where defect pixels are, and how many pixels the region of each has.

        Returns:
            Places in the flattened mask and sizes, int64, shape ``(D,)`` each; ``None``
            if there are none.
        """
        if self.mask is None:
            return None
        pixels = self.mask.cpu().contiguous().numpy()
        # Few pixels among many: NumPy finds them several times faster than torch.
        places = np.flatnonzero(pixels)
        if not len(places):
            return None
        names = region_names(pixels, places)
        sizes = np.bincount(names)[names]
        return torch.from_numpy(places), torch.from_numpy(sizes)


def region_names(mask: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Number the connected defect regions of one image; corners connect.

    Args:
        mask: Defect pixels, bool, shape ``(H, W)``.
        places: Where they are in the flattened mask, at least one and in order.

    Returns:
        For each place 1, 2, ... the region that it belongs to, int32.
    """
    # Labelling takes as long where there is nothing: only from the first row of a
    # defect to the last.
    width = mask.shape[1]
    top, bottom = places[0] // width, places[-1] // width
    rows = mask[top : bottom + 1].view(np.uint8)
    _, regions = cv2.connectedComponents(rows, connectivity=8)
    return regions.ravel()[places - top * width]


def rank_pixels(images: Sequence[ImageRecord], *, align_corners: bool) -> Ranking:
    """Sort all pixels of a product's images, which may differ in size.

    Takes about 35 bytes a pixel while it runs.

    Args:
        images: Records with ``pixels``; without ``mask`` all are normal.
        align_corners: As in :meth:`ImageRecord.scores`.
    """
    scores = [image.scores(align_corners).flatten() for image in images]
    shares = [torch.zeros(len(part), dtype=torch.float64) for part in scores]
    for image, part in zip(images, shares, strict=True):
        if (defects := image.defects()) is not None:
            places, sizes = defects
            part[places] = 1 / sizes.double()
    every = torch.cat(shares)
    return rank_scores(torch.cat(scores), every > 0, every)


@dataclass(kw_only=True)
class _Waiting:
    """Images of one product that are not counted yet."""

    product: int = -1
    num_pixels: int = 0
    codes: list[Tensor] = field(default_factory=list)
    found: list[Tensor] = field(default_factory=list)
    sizes: list[Tensor] = field(default_factory=list)


class PixelHistograms:
    """Histograms of the pixels of each product, in constant memory.

    Sums of whole numbers: neither the order of the images nor how they are spread over
    processes changes a bit. Scores are rounded to float16.

    Args:
        num_products: How many products there are.
    """

    def __init__(self, num_products: int) -> None:
        self._counts = torch.zeros(num_products, 3, NUM_CODES, dtype=torch.int64)
        self._waiting = _Waiting()

    @property
    def counts(self) -> Tensor:
        """Normal pixels, defect pixels and region weights of each code.

        int64, shape ``(num_products, 3, NUM_CODES)``; the sum over processes is the
        histogram of all.
        """
        self._count()
        return self._counts

    def add(self, product: int, image: ImageRecord, *, align_corners: bool) -> None:
        """Count the pixels of one image.

        Args:
            product: Index of its product.
            image: A record with ``pixels``; without ``mask`` all are normal.
            align_corners: As in :meth:`ImageRecord.scores`.

        Raises:
            ValueError: If a pixel is negative or NaN.
        """
        codes = half_codes(image.scores(align_corners)).flatten()
        if product != self._waiting.product:
            self._count()
            self._waiting.product = product
        self._waiting.codes.append(codes)
        if (defects := image.defects()) is not None:
            places, sizes = defects
            self._waiting.found.append(codes[places])
            self._waiting.sizes.append(sizes)
        self._waiting.num_pixels += len(codes)
        if self._waiting.num_pixels >= COUNTED_AT_ONCE:
            self._count()

    def _count(self) -> None:
        waiting, self._waiting = self._waiting, _Waiting()
        if waiting.codes:
            none = torch.zeros(0, dtype=torch.int64)
            count_pixels(
                self._counts[waiting.product],
                torch.cat(waiting.codes),
                torch.cat(waiting.found or [none]),
                torch.cat(waiting.sizes or [none]),
            )

    def unranked(self, product: int) -> float:
        """Share of defect pixels of the lowest or the highest code; 0 without any."""
        defects = self.counts[product][1]
        ends = defects[0] + defects[-1]
        return float(ends / defects.sum().clamp(min=1))

    def ranking(self, product: int) -> Ranking:
        """What the metrics of one product are computed from."""
        normals, defects, weights = self.counts[product]
        return rank_histograms(normals, defects, weights)
