"""Ranking of defects above what is normal: AUROC, AP, F1, region overlap.

All of them need the scores sorted once. :func:`rank_scores` does that and keeps, for
every distinct score that some defect has, how many normal scores are above it; each
metric is a short sum over those. Scores in, fractions in [0, 1] out, NaN where a metric
is undefined because one of the two labels is missing. Nothing is flipped: an AUROC
below 0.5 says that defects look more normal than normal images do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mmdefect.functional._checks import check_vectors

_SIGN_OFF = 0x7FFFFFFF
_MIDDLE = 1 << 30


def check_fpr_limit(limit: float) -> None:
    """Refuse a false positive rate outside (0, 1].

    Raises:
        ValueError: Naming the rate.

    Example:
        >>> check_fpr_limit(30)
        Traceback (most recent call last):
        ValueError: fpr_limit=30: expected more than 0 and at most 1, usually 0.3
    """
    if not 0 < limit <= 1:
        raise ValueError(
            f'fpr_limit={limit}: expected more than 0 and at most 1, usually 0.3'
        )


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Defects among normal samples, one entry a distinct defect score, best first.

    Attributes:
        defects: How many defects have this score, int64, shape ``(K,)``.
        above: How many normal samples score higher, int64, shape ``(K,)``.
        until: The same, and those with equal scores too.
        num_normals: How many normal samples there are.
        weights: Share of its region that these defect pixels are, summed over regions,
            in any unit, shape ``(K,)``; ``None`` if there are no regions.
    """

    defects: Tensor
    above: Tensor
    until: Tensor
    num_normals: int
    weights: Tensor | None = None

    @property
    def is_defined(self) -> bool:
        """Whether there are both defects and normal samples."""
        return self.num_normals > 0 and len(self.defects) > 0

    def _undefined(self) -> Tensor:
        return self.defects.new_tensor(float('nan'), dtype=torch.float64)

    def auroc(self) -> Tensor:
        """Area under the ROC curve; see :func:`auroc`."""
        if not self.is_defined:
            return self._undefined()
        num_defects = int(self.defects.sum())
        pairs = 2 * self.num_normals * num_defects
        # Whole numbers are exact and forget their order; 2^63 pairs are two thousand
        # million pixels of each label.
        exact = torch.int64 if pairs < 2**63 else torch.float64
        won = 2 * self.num_normals - self.above - self.until  # a tie is half a win
        total = (self.defects.to(exact) * won).sum().item()
        return self.defects.new_tensor(total / pairs, dtype=torch.float64)

    def average_precision(self) -> Tensor:
        """Area under the precision-recall steps; see :func:`average_precision`."""
        if not self.is_defined:
            return self._undefined()
        found = self.defects.cumsum(0)
        precision = found.double() / (found + self.until)
        return (self.defects * precision).sum() / found[-1]

    def f1_max(self) -> Tensor:
        """Best F1 of any threshold; see :func:`f1_max`."""
        if not self.is_defined:
            return self._undefined()
        found = self.defects.cumsum(0)
        return (2 * found.double() / (found[-1] + found + self.until)).max()

    def aupro(self, fpr_limit: float = 0.3) -> Tensor:
        """Area under the per-region overlap; see :func:`aupro`.

        Raises:
            ValueError: If the limit is not in (0, 1] or the ranking has no weights.
        """
        check_fpr_limit(fpr_limit)
        if self.weights is None:
            raise ValueError(
                'weights=None: expected the share of its region of every defect pixel; '
                'rank with weights=region_weights(regions)'
            )
        if not self.is_defined:
            return self._undefined()
        # A defect pixel is found over [its false positives, limit]; where normal
        # pixels have its very score, its share grows linearly between the two points.
        limit = fpr_limit * self.num_normals
        width = (limit - self.above.double()).clamp(min=0)
        tied = (self.until - self.above).double()
        ramp = torch.minimum(width, tied)
        area = width - ramp + ramp.square() / (2 * tied.clamp(min=1))
        weights = self.weights.double()
        return (weights * (area / limit)).sum() / weights.sum()


def _keys(scores: Tensor, labels: Tensor) -> Tensor:
    """Integers in the order of ``(score, label)``, the label in the lowest bit.

    Torch sorts integers by radix, several times faster than floats; and a label that
    travels inside the key needs no look-up afterwards.
    """
    if scores.dtype == torch.float64:
        return scores.unique(return_inverse=True)[1] * 2 + labels
    scores = scores.float()
    bits = scores.contiguous().view(torch.int32)
    magnitude = bits & _SIGN_OFF
    if bool((scores < 0).any()):
        magnitude = magnitude.long()
        return torch.where(bits < 0, -magnitude, magnitude) * 2 + labels
    # Non-negative floats are ordered as their bits are. These are below 2^31, so that
    # shifted down by 2^30 they leave room for the label in an int32.
    return magnitude.sub_(_MIDDLE).mul_(2).add_(labels)


def rank_scores(
    scores: Tensor, labels: Tensor, weights: Tensor | None = None
) -> Ranking:
    """Sort scores and count, for each distinct score of a defect, what is above it.

    Args:
        scores: Larger is more anomalous, any floating point type, shape ``(N,)``; the
            fastest are float32 scores without negative ones.
        labels: Not 0 for defects, shape ``(N,)``.
        weights: What :func:`region_weights` gives, shape ``(N,)``; needed for
            :meth:`Ranking.aupro`.

    Raises:
        ValueError: If the shapes differ or are not one-dimensional, the scores are not
            floating point or one of them is NaN.

    Example:
        >>> scores, labels = torch.tensor([0.1, 0.4, 0.8]), torch.tensor([0, 0, 1])
        >>> ranking = rank_scores(scores, labels)
        >>> ranking.above, ranking.num_normals
        (tensor([0]), 2)
    """
    check_vectors(scores=scores, labels=labels)
    if not scores.is_floating_point():
        raise ValueError(
            f'scores.dtype={scores.dtype}: expected a floating point type; convert '
            'them with .float()'
        )
    labels = labels != 0
    if len(scores) and bool(scores.aminmax().min.isnan()):  # NaN if any is
        raise ValueError(
            f'{int(scores.isnan().sum())} of {len(scores)} scores are NaN: expected '
            'numbers; check the model that made them'
        )
    keys, order = _keys(scores, labels).sort(stable=True)
    at = (keys & 1).nonzero().flatten()  # where defects are, the lowest score first
    runs, inverse, defects = keys[at].unique_consecutive(
        return_inverse=True, return_counts=True
    )
    before = defects.cumsum(0) - defects  # defects with lower scores
    # Among equal scores the normal ones sort first.
    not_above = at[before] - before
    below = torch.searchsorted(keys, runs - 1) - before
    num_normals = len(keys) - len(at)
    summed = None
    if weights is not None:
        summed = weights.new_zeros(len(runs)).index_add_(0, inverse, weights[order[at]])
        summed = summed.flip(0)
    return Ranking(
        defects=defects.flip(0),
        above=(num_normals - not_above).flip(0),
        until=(num_normals - below).flip(0),
        num_normals=num_normals,
        weights=summed,
    )


def auroc(scores: Tensor, labels: Tensor) -> Tensor:
    """Area under the ROC curve, ties with mid-ranks (constant scores have 0.5).

    The probability that a defect scores higher than a normal sample (Hanley and McNeil
    1982); exact up to the last rounding.

    Args:
        scores: Larger is more anomalous, shape ``(N,)``.
        labels: Not 0 for defects, shape ``(N,)``.

    Returns:
        A float64 scalar in [0, 1], NaN when there is one label only.

    Raises:
        ValueError: As in :func:`rank_scores`.

    Example:
        >>> auroc(torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0, 0, 1, 1]))
        tensor(0.8750, dtype=torch.float64)
    """
    return rank_scores(scores, labels).auroc()


def average_precision(scores: Tensor, labels: Tensor) -> Tensor:
    """Sum of precision times gain of recall over all thresholds, not interpolated.

    Arguments, result and errors as in :func:`auroc`.

    Example:
        >>> scores, labels = torch.tensor([0.1, 0.4, 0.8]), torch.tensor([1, 0, 1])
        >>> average_precision(scores, labels)
        tensor(0.8333, dtype=torch.float64)
    """
    return rank_scores(scores, labels).average_precision()


def f1_max(scores: Tensor, labels: Tensor) -> Tensor:
    """Harmonic mean of precision and recall at the threshold where it is best.

    Arguments, result and errors as in :func:`auroc`.

    Example:
        >>> scores, labels = torch.tensor([0.1, 0.4, 0.8]), torch.tensor([1, 0, 1])
        >>> f1_max(scores, labels)
        tensor(0.8000, dtype=torch.float64)
    """
    return rank_scores(scores, labels).f1_max()


def region_sizes(regions: Tensor) -> Tensor:
    """Number of pixels in the region of each defect pixel.

    Args:
        regions: Regions of one image: 0 normal, any other number one region; integer,
            any shape.

    Returns:
        int64, one entry a defect pixel, row after row.

    Example:
        >>> region_sizes(torch.tensor([[1, 1, 0], [0, 0, 2]]))
        tensor([2, 2, 1])
    """
    names = regions[regions != 0]
    _, inverse, counts = names.unique(return_inverse=True, return_counts=True)
    return counts[inverse]


def region_weights(regions: Tensor) -> Tensor:
    """Share of its region that each pixel is, so that every region weighs 1.

    Args:
        regions: Regions of one image: 0 normal, any other number one region; integer,
            any shape.

    Returns:
        float64, same shape; 0 for normal pixels.

    Example:
        >>> region_weights(torch.tensor([1, 1, 0, 2]))
        tensor([0.5000, 0.5000, 0.0000, 1.0000], dtype=torch.float64)
    """
    weights = torch.zeros_like(regions, dtype=torch.float64)
    weights[regions != 0] = 1 / region_sizes(regions).double()
    return weights


def aupro(maps: Tensor, regions: Tensor, fpr_limit: float = 0.3) -> Tensor:
    """Area under the per-region overlap curve up to a false positive rate.

    AUPRO of Bergmann et al. (IJCV 2021, "The MVTec Anomaly Detection Dataset", section
    5): at each threshold the mean over all regions of the found share of the region,
    against the rate of normal pixels that are found; integrated up to ``fpr_limit`` and
    divided by it. All thresholds are used, and the curve is linear between them.

    Args:
        maps: Anomaly maps, shape ``(N, H, W)``.
        regions: Same shape, integer: 0 normal, any other number a region of its image
            (numbers may repeat in other images).
        fpr_limit: Rate to integrate up to.

    Returns:
        A float64 scalar in [0, 1]; constant maps have ``fpr_limit / 2``. NaN when there
        is no region or no normal pixel.

    Raises:
        ValueError: If the shapes differ or are not three-dimensional, the limit is not
            in (0, 1], or as in :func:`rank_scores`.

    Example:
        >>> maps = torch.tensor([[[0.9, 0.1], [0.2, 0.8]]])
        >>> aupro(maps, torch.tensor([[[1, 1], [0, 0]]]))  # half of the region is found
        tensor(0.5000, dtype=torch.float64)
    """
    check_fpr_limit(fpr_limit)
    if maps.ndim != 3 or maps.shape != regions.shape:
        raise ValueError(
            f'maps.shape={tuple(maps.shape)}, regions.shape={tuple(regions.shape)}: '
            'expected (N, H, W) of both; stack one map and one region map an image'
        )
    weights = torch.zeros_like(regions, dtype=torch.float64)
    for image, own in zip(regions, weights, strict=True):
        own.copy_(region_weights(image))
    flat = regions.flatten()
    return rank_scores(maps.flatten(), flat, weights.flatten()).aupro(fpr_limit)
