"""Weight drift between two checkpoints of one architecture, as a table."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lab.weight_drift import WeightDrift, weight_drift
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.visualization.page import Table

HEADER = ('tensor', 'cosine similarity')


def compare_checkpoints(
    frozen: str | Path, tuned: str | Path, *, part: str = 'backbone.'
) -> WeightDrift:
    """Compare the weights of two checkpoints.

    Args:
        frozen: Checkpoint of the classifier whose backbone was not trained.
        tuned: Checkpoint of the one that was.
        part: Prefix of what is compared; the heads were trained in both.

    Raises:
        ValueError: They are of different architectures, or have no such part.
    """
    before, after = (_weights(path, part) for path in (frozen, tuned))
    return weight_drift(before, after)


def drift_table(drift: WeightDrift) -> Table:
    """Every tensor, the one that moved most first; all of them as one vector on top."""
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
            f"'{path}' has no weights that begin with {part!r}, a classifier's "
            'checkpoint was expected.'
        )
    return found
