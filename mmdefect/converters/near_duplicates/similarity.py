"""How alike two maps are at the best rotation, with and without mirroring.

Per angular frequency the correlation of all pairs is one matrix product, and one
inverse FFT a pair turns it into the correlation at every rotation: all pairs of 7,348
images take minutes on one core, so no index of candidates is needed. A mirrored image
has the conjugate spectrum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmdefect.converters.near_duplicates.descriptors import ANGLES
from mmdefect.utils.checks import check_choice

TURNS = 2 * ANGLES
"""Rotations that are tried."""
_BLOCK = 16


class Pairs(NamedTuple):
    """Pairs of images that are alike.

    Args:
        first: Index of one image, int64.
        second: Index of the other, larger than ``first``.
        similarity: Up to 1, float32.
    """

    first: np.ndarray
    second: np.ndarray
    similarity: np.ndarray


class Alignment(NamedTuple):
    """How one image lies on another.

    Args:
        turn: Radians.
        mirrored: Whether it is mirrored first.
        similarity: Correlation then.
    """

    turn: float
    mirrored: bool
    similarity: float


def _spectra(maps: np.ndarray) -> Tensor:
    """Spectra along the angle, of norm 1 and without mean; (frequencies, N, rings)."""
    found = torch.fft.rfft(torch.from_numpy(maps.astype(np.float32)), dim=2)
    found = found[..., 1:-1]
    # A real signal has every frequency twice; of all of them the norm becomes 1.
    norm = found.abs().square().sum((1, 2), keepdim=True).mul(2).sqrt()
    return (found / norm.clamp(min=1e-6)).permute(2, 0, 1).contiguous()


def _curves(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Correlation at every rotation, plain and mirrored; each (TURNS, n, m)."""
    return _to_turns(first @ second.conj().mT), _to_turns(first @ second.mT)


def _to_turns(products: Tensor) -> Tensor:
    padded = products.new_zeros(TURNS // 2 + 1, *products.shape[1:])
    padded[1 : len(products) + 1] = products
    return torch.fft.irfft(padded, n=TURNS, dim=0, norm='forward')


def _aligned(first: Tensor, second: Tensor) -> Tensor:
    plain, mirrored = _curves(first, second)
    return torch.maximum(plain.amax(0), mirrored.amax(0))


def _spectrum(first: Tensor, second: Tensor) -> Tensor:
    left, right = (x.abs().transpose(0, 1).flatten(1) for x in (first, second))
    return 2 * left @ right.T


METHODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'aligned': _aligned,
    'spectrum': _spectrum,
}
"""``aligned``: correlation at the best rotation and mirror. ``spectrum``: cosine of the
magnitudes of the spectra, which needs no alignment and is blind to phase; kept because
it was measured as the cheap alternative."""


def similarity(
    first: np.ndarray, second: np.ndarray, *, method: str = 'aligned'
) -> np.ndarray:
    """Similarity of every map with every other one.

    Args:
        first: Maps, shape (n, rings, angles).
        second: Maps, shape (m, rings, angles).
        method: One of :data:`METHODS`.

    Returns:
        Up to 1, float32, shape (n, m).
    """
    check_choice('method', method, list(METHODS))
    left, right = _spectra(first), _spectra(second)
    rows = [
        METHODS[method](left[:, start : start + _BLOCK], right).numpy()
        for start in range(0, len(first), _BLOCK)
    ]
    return np.concatenate(rows)


def similar_pairs(maps: np.ndarray, floor: float, *, method: str = 'aligned') -> Pairs:
    """Find all pairs of maps (N, rings, angles) at least as alike as ``floor``."""
    check_choice('method', method, list(METHODS))
    spectra = _spectra(maps)
    found: list[tuple[np.ndarray, ...]] = []
    for start in range(0, len(maps), _BLOCK):
        block = METHODS[method](spectra[:, start : start + _BLOCK], spectra[:, start:])
        rows, columns = torch.nonzero(block.triu(1) >= floor, as_tuple=True)
        ends = (rows + start, columns + start)
        found.append((*(end.numpy() for end in ends), block[rows, columns].numpy()))
    return Pairs(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def align(reference: np.ndarray, other: np.ndarray) -> Alignment:
    """Find how one map (rings, angles) lies on another.

    Angle ``a`` of the other is ``a + turn`` of the reference, or ``turn - a`` when it
    is mirrored.
    """
    curves = _curves(_spectra(reference[None]), _spectra(other[None]))
    plain, mirrored = (curve[:, 0, 0] for curve in curves)
    is_mirrored = bool(mirrored.max() > plain.max())
    curve = mirrored if is_mirrored else plain
    best = int(curve.argmax())
    return Alignment(best * 2 * np.pi / TURNS, is_mirrored, float(curve[best]))
