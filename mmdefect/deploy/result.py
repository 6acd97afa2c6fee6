"""What is known of one image in the end: one type for all tasks, of NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from mmdefect.deploy.spec import Task

Decision = Literal['ok', 'defective', 'undecided']
NOT_CALIBRATED = 'not calibrated'


def _none() -> np.ndarray:
    return np.zeros(0, np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """One image, what the model says of it, and what that means.

    Attributes:
        source: Path of the image, ``video.mp4#12``, ``camera 0#12`` or ``array 3``.
        task: ``'boxes'``, ``'maps'`` or ``'labels'``.
        size: Width and height of the original image; (0, 0) if it could not be read.
        decision: ``'ok'`` or ``'defective'``; ``'undecided'`` without a threshold or
            with an error.
        calibrated: Whether the threshold was chosen on validation images; if not,
            every form of the result says ``not calibrated``.
        threshold: The one that decided: of the product (maps), of the defective class
            (labels), of the class of the box that decided (boxes).
        score: What was compared with it: of the image (maps), probability of the
            defective class (labels), of the box that decided (boxes): the one furthest
            above its threshold. None without boxes.
        boxes: ``(N, 4)`` float32, x1, y1, x2, y2 in pixels of the original image, all
            that the model puts out, the best first.
        scores: ``(N,)`` float32.
        labels: ``(N,)`` int64.
        names: Class of each box.
        thresholds: ``(N,)`` float32, of the class of each box.
        anomaly_map: ``(H, W)`` float32 at the size of the original image.
        label: Index of the class that was decided on (labels).
        name: Its name.
        probability: Its probability.
        probabilities: ``(C,)`` float32, of all classes.
        product: Of a model of maps, if it or the caller knows.
        error: Why there is no result, in one sentence.
    """

    source: str
    task: Task
    size: tuple[int, int] = (0, 0)
    decision: Decision = 'undecided'
    calibrated: bool = False
    threshold: float | None = None
    score: float | None = None
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: np.ndarray = field(default_factory=_none)
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    names: tuple[str, ...] = ()
    thresholds: np.ndarray = field(default_factory=_none)
    anomaly_map: np.ndarray | None = None
    label: int | None = None
    name: str | None = None
    probability: float | None = None
    probabilities: np.ndarray | None = None
    product: str | None = None
    error: str | None = None

    @property
    def is_defect(self) -> np.ndarray:
        """Which boxes meet the threshold of their class, ``(N,)`` bool."""
        return self.scores >= self.thresholds

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which kinds of defects were found, each once, the best first."""
        if self.task == 'labels':
            return (self.name,) if self.name and self.decision == 'defective' else ()
        found = zip(self.names, self.is_defect, strict=True)
        return tuple(dict.fromkeys(name for name, meets in found if meets))
