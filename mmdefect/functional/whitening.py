"""The directions in which normal features vary, and how far a feature lies off."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Subspace:
    """Directions that hold most of what varies, and their scale.

    Attributes:
        mean: Of the points, shape ``(D,)``.
        basis: Orthonormal directions, the strongest first, shape ``(D, K)``; ``(D, 0)``
            keeps the space as it is.
        scale: What each direction is multiplied with, shape ``(K,)``.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor


def fit_subspace(
    points: Tensor, *, share: float | None = 0.99, shrinkage: float | None = 0.07
) -> Subspace:
    """Principal directions of points, whitened with a covariance that is shrunk.

    The eigenvalues ``l`` of the covariance become ``(1 - s) l + s mean(l)`` (Ledoit and
    Wolf, J. Multivariate Analysis 88, 2004, with ``s`` given); a direction is divided
    by the root of its own.

    Args:
        points: Shape ``(N, D)``, at least two.
        share: How much of the variance is kept, in (0, 1]; ``None`` keeps all
            directions.
        shrinkage: ``s``, in [0, 1]; ``None`` leaves directions at their scale. With
            ``None`` for both, the space is only centred.

    Raises:
        ValueError: If there are fewer than two points, one is not finite, all are
            equal, or a setting is out of range.

    Example:
        >>> points = torch.tensor([[3.0, 0], [-3, 0], [0, 1], [0, -1]])
        >>> fit_subspace(points, share=0.9, shrinkage=None).basis.abs()
        tensor([[1.],
                [0.]])
    """
    _check(points, share, shrinkage)
    points = points.float()
    mean = points.mean(dim=0)
    if share is None and shrinkage is None:
        none = points.new_zeros(points.shape[1], 0)
        return Subspace(mean=mean, basis=none, scale=none[0])
    centred = points - mean
    covariance = (centred.T @ centred).double() / (len(points) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    if not bool(values[0] > 0):
        raise ValueError(
            f'{len(points)} points that are all equal: expected some that differ; '
            'check the images'
        )
    kept = _number_of(values, share)
    scale = torch.ones(kept, dtype=values.dtype)
    if shrinkage is not None:
        shrunk = (1 - shrinkage) * values + shrinkage * values.mean()
        scale = shrunk[:kept].rsqrt()
    return Subspace(
        mean=mean, basis=vectors[:, :kept].float(), scale=scale.float().to(mean)
    )


def _number_of(values: Tensor, share: float | None) -> int:
    """How many directions are kept; none that no point varies along."""
    noise = len(values) * torch.finfo(torch.float32).eps * values[0]
    most = int((values > noise).sum())
    if share is None:
        return most
    reached = values.cumsum(0) / values.sum() >= share - 1e-12
    return min(most, int((~reached).sum()) + 1)


def _check(points: Tensor, share: float | None, shrinkage: float | None) -> None:
    if len(points) < 2 or not bool(points.isfinite().all()):
        raise ValueError(
            f'points of shape {tuple(points.shape)}: expected two finite ones or more'
        )
    if share is not None and not 0 < share <= 1:
        raise ValueError(f'share={share}: expected one above 0 and at most 1, or None')
    if shrinkage is not None and not 0 <= shrinkage <= 1:
        raise ValueError(f'shrinkage={shrinkage}: expected one from 0 to 1, or None')


def project(points: Tensor, space: Subspace) -> Tensor:
    """Coordinates of points in a subspace.

    Args:
        points: Shape ``(N, D)``.
        space: With ``K`` directions.

    Returns:
        Shape ``(N, K)``, or ``(N, D)`` where the space is only centred.
    """
    centred = points - space.mean
    if not space.basis.shape[1]:
        return centred
    return centred @ space.basis * space.scale


def residual_distance(points: Tensor, space: Subspace) -> Tensor:
    """Length of what no direction of a subspace holds (SubspaceAD, CVPR 2026).

    Args:
        points: Shape ``(N, D)``.
        space: Its scale plays no part.

    Returns:
        Shape ``(N,)``.

    Example:
        >>> axis = torch.tensor([[1.0], [0.0]])
        >>> space = Subspace(mean=torch.zeros(2), basis=axis, scale=torch.ones(1))
        >>> residual_distance(torch.tensor([[7.0, 2.0]]), space)
        tensor([2.])
    """
    centred = points - space.mean
    return (centred - centred @ space.basis @ space.basis.T).norm(dim=1)
