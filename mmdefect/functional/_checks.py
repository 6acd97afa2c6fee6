"""Checks that several modules share."""

from __future__ import annotations

from torch import Tensor


def check_vectors(**tensors: Tensor) -> None:
    """Refuse anything but one-dimensional tensors of one length.

    Raises:
        ValueError: Naming all shapes.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if {len(shape) for shape in shapes.values()} != {1} or len({*shapes.values()}) > 1:
        given = ', '.join(f'{name}.shape={shape}' for name, shape in shapes.items())
        raise ValueError(f'{given}: expected (N,) of each; flatten them')
