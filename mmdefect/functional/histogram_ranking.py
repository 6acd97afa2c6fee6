"""The metrics of :mod:`mmdefect.functional.ranking` in constant memory.

Scores are rounded to float16. The bits of a non-negative float16 are its rank among all
of them, so a histogram over those 31,744 codes holds everything the metrics need: they
are exact for the rounded scores. Its counts are whole numbers, so it does not matter in
which order, in which batches or on which machine they were added up.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmdefect.functional.ranking import Ranking, region_sizes

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
                'a negative or NaN score was given, numbers from 0 were expected '
                'because streaming ranks by their bits; check the model, or use exact '
                'ranking.'
            )
        codes = codes & _SIGN_OFF
    return codes.clamp(max=NUM_CODES - 1) if high == NUM_CODES else codes


def score_histograms(codes: Tensor, defects: Tensor) -> tuple[Tensor, Tensor]:
    """Count the codes of normal samples and of defects.

    Args:
        codes: What :func:`half_codes` returns.
        defects: Not 0 for defects, same shape.

    Returns:
        Counts of normal samples and of defects, int64, shape ``(NUM_CODES,)`` each.
    """
    everything = torch.bincount(codes.flatten(), minlength=NUM_CODES)
    found = torch.bincount(codes[defects != 0], minlength=NUM_CODES)
    return everything - found, found


def weight_histogram(codes: Tensor, regions: Tensor) -> Tensor:
    """Add up the region shares of one image, ``REGION_WEIGHT`` for a whole region.

    Args:
        codes: What :func:`half_codes` returns for the map.
        regions: 0 normal, any other number one region; integer, same shape.

    Returns:
        int64, shape ``(NUM_CODES,)``.
    """
    empty = torch.zeros(NUM_CODES, dtype=torch.int64, device=codes.device)
    shares = _region_shares(region_sizes(regions))
    return empty.index_add_(0, codes[regions != 0].long(), shares)


def count_pixels(counts: Tensor, codes: Tensor, found: Tensor, sizes: Tensor) -> None:
    """Add images to all three histograms.

    The same numbers as :func:`score_histograms` and :func:`weight_histogram` give, some
    five times faster where few pixels are defects.

    Args:
        counts: Normal pixels, defect pixels and region weights of each code, int64,
            shape ``(3, NUM_CODES)``; changed in place.
        codes: What :func:`half_codes` returns for all pixels, shape ``(N,)``.
        found: Those of the ``D`` defect pixels among them, shape ``(D,)``.
        sizes: How many pixels the region of each has, int64, shape ``(D,)``.
    """
    normals, defects, weights = counts
    normals += torch.bincount(codes, minlength=NUM_CODES)
    found = found.long()
    one = torch.ones_like(found)
    normals.index_add_(0, found, one, alpha=-1)
    defects.index_add_(0, found, one)
    weights.index_add_(0, found, _region_shares(sizes))


def _region_shares(sizes: Tensor) -> Tensor:
    return (REGION_WEIGHT + (sizes >> 1)) // sizes


def rank_histograms(
    normals: Tensor, defects: Tensor, weights: Tensor | None = None
) -> Ranking:
    """Turn histograms into what the metrics are computed from.

    Args:
        normals: Normal samples of each code, int64, shape ``(B,)``, the lowest score
            first.
        defects: The same of defects.
        weights: What :func:`weight_histogram` counted, shape ``(B,)``; needed for
            :meth:`Ranking.aupro`.

    Raises:
        ValueError: If the shapes differ or are not one-dimensional, or the counts are
            not int64.
    """
    given = [normals, defects, *([] if weights is None else [weights])]
    shapes = {tuple(histogram.shape) for histogram in given}
    types = {histogram.dtype for histogram in given}
    if len(shapes) > 1 or normals.ndim != 1 or types != {torch.int64}:
        raise ValueError(
            f'histograms of shapes {sorted(shapes)} and types {sorted(map(str, types))}'
            ' were given, one-dimensional int64 counts over the same codes were '
            'expected; make them with score_histograms.'
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


def histogram_auroc(normals: Tensor, defects: Tensor) -> Tensor:
    """:func:`~mmdefect.functional.ranking.auroc` of two histograms.

    Args:
        normals: Normal samples of each code, int64, shape ``(B,)``.
        defects: Defects of each code, int64, shape ``(B,)``.

    Raises:
        ValueError: As in :func:`rank_histograms`.
    """
    return rank_histograms(normals, defects).auroc()


def histogram_average_precision(normals: Tensor, defects: Tensor) -> Tensor:
    """:func:`~mmdefect.functional.ranking.average_precision` of two histograms.

    Arguments and errors as in :func:`histogram_auroc`.
    """
    return rank_histograms(normals, defects).average_precision()


def histogram_f1_max(normals: Tensor, defects: Tensor) -> Tensor:
    """:func:`~mmdefect.functional.ranking.f1_max` of two histograms.

    Arguments and errors as in :func:`histogram_auroc`.
    """
    return rank_histograms(normals, defects).f1_max()


def histogram_aupro(normals: Tensor, weights: Tensor, fpr_limit: float = 0.3) -> Tensor:
    """:func:`~mmdefect.functional.ranking.aupro` of histograms.

    Args:
        normals: Normal pixels of each code, int64, shape ``(B,)``.
        weights: What :func:`weight_histogram` counted, int64, shape ``(B,)``.
        fpr_limit: Rate to integrate up to.

    Raises:
        ValueError: As in :func:`rank_histograms`, or if the limit is not in (0, 1].
    """
    return rank_histograms(normals, weights, weights).aupro(fpr_limit)
