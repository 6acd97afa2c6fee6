"""What a model says of one image before anything is decided, whatever computed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from mmdefect.deploy.spec import ModelSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxOutput:
    """Boxes after suppression, the best first.

    Attributes:
        boxes: ``(N, 4)`` float32, x1, y1, x2, y2 in pixels of the original image.
        scores: ``(N,)`` float32.
        labels: ``(N,)`` int64, into the classes of the model.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class MapOutput:
    """Anomaly map and score.

    Attributes:
        anomaly_map: ``(H, W)`` float32 at the size of the original image.
        score: Larger is more anomalous.
        product: Which product the model took it for, or was told; None if it does not
            tell, or if the product is none that it knows.
        unknown: Whether the product is none that it knows.
    """

    anomaly_map: np.ndarray
    score: float
    product: str | None = None
    unknown: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelOutput:
    """Probabilities of the classes.

    Attributes:
        probabilities: ``(C,)`` float32.
    """

    probabilities: np.ndarray


Output: TypeAlias = BoxOutput | MapOutput | LabelOutput


def recognised(index: int, spec: ModelSpec) -> dict[str, Any]:
    """``product`` and ``unknown`` of a map, for the index that a model gives.

    Args:
        index: Into the classes, or -1.
        spec: Of the model.
    """
    if index < 0:
        return {'product': None, 'unknown': True}
    return {'product': spec.classes[index]}
