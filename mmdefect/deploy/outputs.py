"""What a model says of one image before anything is decided, whatever computed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np


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
        product: Which product the model took it for; None if it does not tell.
    """

    anomaly_map: np.ndarray
    score: float
    product: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelOutput:
    """Probabilities of the classes.

    Attributes:
        probabilities: ``(C,)`` float32.
    """

    probabilities: np.ndarray


Output: TypeAlias = BoxOutput | MapOutput | LabelOutput
