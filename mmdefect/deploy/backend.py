"""What every way of computing has in common: torch, ONNX Runtime, OpenVINO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from mmdefect.deploy.outputs import Output
from mmdefect.deploy.spec import ModelSpec


def equal_shapes(shapes: Iterable[Sequence[int]]) -> list[list[int]]:
    """Indices of shapes, those that are equal together, in order."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, shape in enumerate(shapes):
        groups.setdefault(tuple(shape), []).append(number)
    return list(groups.values())


#: Backends that several threads may call at once: a session of ONNX Runtime is shared,
#: of OpenVINO each call makes its own request. All others are called one at a time.
SHARED = ('onnxruntime', 'openvino')


class Backend(Protocol):
    """A model that looks at images.

    Attributes:
        spec: What it is.
        name: ``'torch'``, ``'onnxruntime'`` or ``'openvino'``.
    """

    spec: ModelSpec
    name: str

    def __call__(self, images: Sequence[np.ndarray]) -> list[Output]:
        """Look at a batch.

        Args:
            images: Of any sizes, each ``(H, W, 3)``, BGR, uint8.

        Returns:
            One output an image, in pixels of the image as it was given.
        """
        ...
