"""Directions that earlier steps used, and updates that spare them.

Rows are samples of a feature, one a training image. Their right singular vectors are
the eigenvectors of their Gram matrix ``rows.T @ rows``, which has a constant size,
exists for any number of rows and is summed over steps.
"""

from __future__ import annotations

import torch
from torch import Tensor


def gram(rows: Tensor) -> Tensor:
    """Sum of the outer products of the rows.

    Args:
        rows: Shape ``(N, D)``; ``N`` may be 0.

    Returns:
        ``rows.T @ rows`` in float64, shape ``(D, D)``.

    Example:
        >>> gram(torch.tensor([[1.0, 2], [0, 1]]))
        tensor([[1., 2.],
                [2., 5.]], dtype=torch.float64)
    """
    rows = rows.double()
    return rows.transpose(-1, -2) @ rows


def suppression_weights(size: int) -> Tensor:
    """Share of an update that each direction lets through: ``ln c / ln size``.

    Direction ``c = 1`` is the strongest of the past and is frozen, the last one is
    free (IUF, ECCV 2024, gradient suppression with ``k = 1 / ln C``).

    Args:
        size: Number of directions, at least 2.

    Returns:
        Shape ``(size,)``, float64, from 0 to 1.

    Raises:
        ValueError: If there are fewer than two directions.

    Example:
        >>> suppression_weights(4)
        tensor([0.0000, 0.5000, 0.7925, 1.0000], dtype=torch.float64)
    """
    if size < 2:
        raise ValueError(
            f'size={size}: expected at least 2, used and free directions of a feature'
        )
    ranks = torch.arange(1, size + 1, dtype=torch.float64)
    return ranks.log() / ranks[-1].log()


def suppression_matrix(gram_matrix: Tensor) -> Tensor:
    """Matrix that damps an update along the directions which the past used.

    ``P = V diag(w) V^T`` with the right singular vectors ``V`` of the past's rows,
    strongest first, and ``w`` of :func:`suppression_weights`. The gradient of a layer
    whose *output* the rows are becomes ``P @ gradient`` (IUF, ECCV 2024).

    Directions that no row has used are free, so fewer rows than channels are no problem
    and the matrix depends on the rows alone.

    Args:
        gram_matrix: Sum of :func:`gram` over all finished steps, shape ``(D, D)``.

    Returns:
        Symmetric, eigenvalues in [0, 1], shape ``(D, D)``, float64.

    Raises:
        ValueError: If the matrix is not square or not finite.

    Example:
        >>> suppression_matrix(gram(torch.tensor([[3.0, 0]]))).abs()
        tensor([[0., 0.],
                [0., 1.]], dtype=torch.float64)
    """
    square = gram_matrix.ndim == 2 and len(set(gram_matrix.shape)) == 1
    if not square or not gram_matrix.isfinite().all():
        raise ValueError(
            f'gram_matrix of shape {tuple(gram_matrix.shape)}: expected finite numbers '
            'of shape (D, D); sum gram(rows) over the steps'
        )
    # Ascending: the strongest direction is the last.
    values, vectors = torch.linalg.eigh(gram_matrix.double())
    weights = suppression_weights(len(values)).flip(0).to(values)
    noise = len(values) * torch.finfo(values.dtype).eps * values[-1].clamp(min=0)
    # Among directions of no strength any order would do, and each its own matrix.
    weights[values <= noise] = 1
    return (vectors * weights) @ vectors.T


def singular_values(rows: Tensor) -> Tensor:
    """Singular values whose gradient is finite for any rows.

    The right singular vectors come from the Gram matrix in float64, without gradient;
    a singular value is then the length of the rows' image of its vector. That has the
    exact gradient ``u v^T``, is zero instead of infinite where a value vanishes, and
    costs a sixth of an SVD of 768 x 256.

    Args:
        rows: Shape ``(..., N, D)``.

    Returns:
        Shape ``(..., min(N, D))``, descending, float64.

    Example:
        >>> singular_values(torch.tensor([[3.0, 0], [0, 4]]))
        tensor([4., 3.], dtype=torch.float64)
    """
    wide = rows.double()
    with torch.no_grad():
        vectors = torch.linalg.eigh(gram(wide)).eigenvectors.flip(-1)
    lengths = (wide @ vectors).norm(dim=-2)
    return lengths[..., : min(rows.shape[-2:])]


def tail_beyond(values: Tensor, index: int) -> Tensor:
    """Sum of the singular values from ``index`` on: semantic compression, as printed.

    Args:
        values: Descending, shape ``(..., K)``.
        index: The paper's ``t``: how many values are spared.

    Returns:
        Shape ``(...)``.

    Example:
        >>> tail_beyond(torch.tensor([4.0, 3, 1]), 1)
        tensor(4.)
    """
    return values[..., index:].sum(dim=-1)


def tail_below(values: Tensor, share: float) -> Tensor:
    """Sum of the shares that lie below ``share``: semantic compression, as released.

    Args:
        values: Singular values, shape ``(..., K)``.
        share: Threshold on a value divided by the sum of all.

    Returns:
        Shape ``(...)``, in [0, 1]; 0 when all values are 0.

    Example:
        >>> tail_below(torch.tensor([4.0, 3, 1]), share=0.2)
        tensor(0.1250)
    """
    total = values.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    shares = values / total
    return (shares * (shares.detach() < share)).sum(dim=-1)
