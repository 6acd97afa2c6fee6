"""What every way of computing has in common: torch, ONNX Runtime, OpenVINO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, cast

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


def told(backend: Backend, product: str | None) -> Backend:
    """A backend that is told which product it sees, where it would recognise it.

    Args:
        backend: Any; one whose ``spec.routes`` has a method ``told``.
        product: One of its classes; None leaves it as it is.
    """
    if product is None or not backend.spec.routes:
        return backend
    found: Backend = cast(Any, backend).told(product)
    return found
