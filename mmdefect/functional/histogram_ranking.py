"""The metrics of :mod:`mmdefect.functional.ranking` in constant memory.

Scores are rounded to float16. The bits of a non-negative float16 are its rank among all
of them, so a histogram over those 31,744 codes holds everything the metrics need: they
are exact for the rounded scores. Its counts are whole numbers, so it does not matter in
which order, in which batches or on which machine they were added up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmdefect.functional.ranking import Ranking

NUM_CODES = 0x7C00  # the code of infinity, one above the largest number
_SIGN_OFF = 0x7FFF
# Weight of a region in the histogram: every pixel gets its share of it, rounded, which
# moves the share of a pixel in a region of a million by less than 1e-6 of itself. Eight
# million regions fit into an int64.
REGION_WEIGHT = 1 << 40


def half_codes(scores: Tensor) -> Tensor:
    """Round scores to float16 and return their rank among all float16 numbers.

    Args:
        scores: Not negative, floating point, any shape; above 65504 they are clamped.

    Returns:
        int16, same shape, in ``[0, NUM_CODES)``.

    Raises:
        ValueError: If a score is negative or NaN.

    Example:
        >>> half_codes(torch.tensor([0.0, 0.5, 1.0, 1e9]))
        tensor([    0, 14336, 15360, 31743], dtype=torch.int16)
    """
    codes = scores.half().view(torch.int16)
    if not codes.numel():
        return codes
    low, high = map(int, codes.aminmax())
    # NaN is above infinity, and a sign makes the code negative; that of -0 does too,
    # so what is not in order is looked at again, in full precision.
    if low < 0 or high > NUM_CODES:
        if not bool(scores.aminmax().min >= 0):
            raise ValueError(
                'scores below 0 or NaN: expected at least 0, since streaming ranks by '
                'their bits; check the model, or use exact ranking'
            )
        codes = codes & _SIGN_OFF
    return codes.clamp(max=NUM_CODES - 1) if high == NUM_CODES else codes


def count_pixels(counts: Tensor, codes: Tensor, found: Tensor, sizes: Tensor) -> None:
    """Add images to all three histograms; fast where few pixels are defects.

    Args:
        counts: Normal pixels, defect pixels and region weights of each code, int64,
            shape ``(3, NUM_CODES)``; changed in place.
        codes: What :func:`half_codes` returns for all pixels, shape ``(N,)``.
        found: Those of the ``D`` defect pixels among them, shape ``(D,)``.
        sizes: How many pixels the region of each has, int64, shape ``(D,)``.

    Example:
        >>> counts = torch.zeros(3, NUM_CODES, dtype=torch.int64)
        >>> codes = half_codes(torch.tensor([0.0, 1.0, 1.0]))  # the last two: a defect
        >>> count_pixels(counts, codes, codes[1:], torch.tensor([2, 2]))
        >>> counts.sum(dim=1).tolist()
        [1, 2, 1099511627776]
    """
    normals, defects, weights = counts
    normals += torch.bincount(codes, minlength=NUM_CODES)
    found = found.long()
    one = torch.ones_like(found)
    normals.index_add_(0, found, one, alpha=-1)
    defects.index_add_(0, found, one)
    weights.index_add_(0, found, (REGION_WEIGHT + (sizes >> 1)) // sizes)


def rank_histograms(
    normals: Tensor, defects: Tensor, weights: Tensor | None = None
) -> Ranking:
    """Turn histograms into what the metrics are computed from.

    Args:
        normals: Normal samples of each code, int64, shape ``(B,)``, the lowest score
            first.
        defects: The same of defects.
        weights: Region weights of each code, as :func:`count_pixels` adds them up;
            needed for :meth:`Ranking.aupro`.

    Raises:
        ValueError: If the shapes differ or are not one-dimensional, or the counts are
            not int64.

    Example:
        >>> rank_histograms(torch.tensor([3, 1]), torch.tensor([0, 2])).auroc()
        tensor(0.8750, dtype=torch.float64)
    """
    given = [normals, defects, *([] if weights is None else [weights])]
    shapes = {tuple(histogram.shape) for histogram in given}
    types = {histogram.dtype for histogram in given}
    if len(shapes) > 1 or normals.ndim != 1 or types != {torch.int64}:
        raise ValueError(
            f'histograms of shapes {sorted(shapes)} and types '
            f'{sorted(map(str, types))}: expected int64 counts of shape (B,); make '
            'them with count_pixels'
        )
    until = normals.flip(0).cumsum(0)
    above = until - normals.flip(0)
    kept = defects.flip(0).nonzero().flatten()
    return Ranking(
        defects=defects.flip(0)[kept],
        above=above[kept],
        until=until[kept],
        num_normals=int(normals.sum()),
        weights=None if weights is None else weights.flip(0)[kept],
    )
