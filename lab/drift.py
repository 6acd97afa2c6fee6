"""How far training moved the weights of a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.visualization.page import Table

HEADER = ('tensor', 'cosine similarity')


@dataclass(frozen=True)
class WeightDrift:
    """Cosine similarity of weights before and after training.

    Attributes:
        tensors: Name -> similarity of that tensor; NaN where one of the two is zero
            throughout.
        overall: Similarity of all of them as one vector.
    """

    tensors: dict[str, float]
    overall: float


def weight_drift(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> WeightDrift:
    """Compare two state dicts tensor by tensor and as a whole.

    1 is untouched, 0 unrelated. Integer tensors (counters of batch norm) are left out;
    running statistics are compared when they are given.

    Args:
        before: Name -> tensor.
        after: The same names and shapes.

    Raises:
        ValueError: If the names or shapes differ, or there is no floating point tensor.

    Example:
        >>> weight_drift({'w': torch.tensor([1.0, 0])}, {'w': torch.tensor([1.0, 1])})
        WeightDrift(tensors={'w': 0.707...}, overall=0.707...)
    """
    _check_same(before, after)
    sums = {
        name: _products(tensor, after[name])
        for name, tensor in before.items()
        if tensor.is_floating_point()
    }
    if not sums:
        raise ValueError(
            f'before={sorted(before)[:3]}: expected tensors of floating point type; '
            'give state dicts of two models'
        )
    total = torch.stack(list(sums.values())).sum(dim=0)
    return WeightDrift(
        tensors={name: _cosine(entry) for name, entry in sums.items()},
        overall=_cosine(total),
    )


def _products(one: Tensor, other: Tensor) -> Tensor:
    """``one * other``, ``one ** 2`` and ``other ** 2``, summed in float64."""
    a = one.detach().double().cpu().flatten()
    b = other.detach().double().cpu().flatten()
    return torch.stack([a @ b, a @ a, b @ b])


def _cosine(products: Tensor) -> float:
    both, one, other = products.tolist()
    if one == 0 or other == 0:
        return math.nan
    # Not of their product, which may be beyond float64.
    return min(1.0, max(-1.0, both / math.sqrt(one) / math.sqrt(other)))


def _check_same(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    if different := sorted(before.keys() ^ after.keys()):
        raise ValueError(
            f'{", ".join(different[:3])} ({len(different)} in all): expected in both '
            'state dicts; leave out what was replaced, such as the head'
        )
    for name, tensor in before.items():
        if tensor.shape != after[name].shape:
            raise ValueError(
                f'{name}: expected one shape, not {tuple(tensor.shape)} and '
                f'{tuple(after[name].shape)}; compare two models of one architecture'
            )


def compare_checkpoints(
    frozen: str | Path, tuned: str | Path, *, part: str = 'backbone.'
) -> WeightDrift:
    """Compare the weights of two checkpoints.

    Raises:
        ValueError: They are of different architectures, or have no such part.
    """
    before, after = (_weights(path, part) for path in (frozen, tuned))
    return weight_drift(before, after)


def drift_table(drift: WeightDrift) -> Table:
    """Tabulate all as one vector, then every tensor, the most moved first."""
    moved = sorted(drift.tensors.items(), key=lambda entry: entry[1])
    rows = [('all', f'{drift.overall:.4f}')]
    rows += [(name, f'{value:.4f}') for name, value in moved]
    return Table(HEADER, rows, HEADER[1:])


def _weights(path: str | Path, part: str) -> dict[str, Tensor]:
    # Statistics of batch norm are no weights: they drift with frozen ones, too.
    found = {
        name: value
        for name, value in state_dict_of(load_weights(path), path).items()
        if name.startswith(part) and 'running_' not in name
    }
    if not found:
        raise ValueError(
            f"{path}: expected a classifier's checkpoint, with weights that begin with "
            f'{part!r}'
        )
    return found
