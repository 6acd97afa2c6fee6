"""Two small models of deployment that really look at pixels: dark spots on a plate."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmdefect.deploy.outputs import BoxOutput, MapOutput, Output
from mmdefect.deploy.spec import ModelSpec

GREY = 150
DARK = 60


class Blobs:
    """Finds dark spots as a detector does: on the image at its own size.

    Spots of less than three pixels there are noise to it.

    Args:
        side: Longest side that an image is resized to.
    """

    name = 'torch'

    def __init__(self, side: int = 400) -> None:
        self.side = side
        self.spec = ModelSpec(task='boxes', classes=('spot',), default_threshold=0.3)
        self.batches: list[int] = []

    def __call__(self, images: Sequence[np.ndarray]) -> list[Output]:
        self.batches.append(len(images))
        return [self._boxes(image) for image in images]

    def _boxes(self, image: np.ndarray) -> BoxOutput:
        small, scale = shrunk(image, self.side)
        dark = (GREY - small.astype(np.float32)) / GREY
        _, _, stats, _ = cv2.connectedComponentsWithStats((dark > 0.25).astype('uint8'))
        spots = [row for row in stats[1:] if min(row[2], row[3]) >= 3]
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in spots], np.float32)
        scores = [float(dark[y : y + h, x : x + w].max()) for x, y, w, h, _ in spots]
        order = np.argsort(-np.array(scores, np.float32), kind='stable')
        return BoxOutput(
            boxes=(boxes.reshape(-1, 4) / scale)[order],
            scores=np.array(scores, np.float32)[order],
            labels=np.zeros(len(spots), np.int64),
        )


class Darkness:
    """An anomaly map of how dark it is, computed at the model's size."""

    name = 'torch'

    def __init__(self, side: int = 400) -> None:
        self.side = side
        self.spec = ModelSpec(task='maps', classes=('plate',), default_threshold=0.3)

    def __call__(self, images: Sequence[np.ndarray]) -> list[Output]:
        return [self._map(image) for image in images]

    def _map(self, image: np.ndarray) -> MapOutput:
        small, _ = shrunk(image, self.side)
        dark = cv2.GaussianBlur((GREY - small.astype(np.float32)) / GREY, (0, 0), 2)
        height, width = image.shape[:2]
        return MapOutput(
            anomaly_map=cv2.resize(dark, (width, height)),
            score=float(dark.max()),
            product='plate',
        )


def shrunk(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """One channel, the longest side at most ``side``; and by how much."""
    scale = min(1.0, side / max(image.shape[:2]))
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    size = (width, height)
    return cv2.resize(image[..., 0], size, interpolation=cv2.INTER_AREA), scale


def spotted_plate(
    spots: Sequence[tuple[int, int]], *, size: tuple[int, int], side: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """A noisy plate with dark square spots.

    Returns:
        The image, and the boxes of the spots, ``(N, 4)``.
    """
    width, height = size
    noise = np.random.default_rng(0).normal(GREY, 6, (500, 500))
    grey = np.tile(noise.clip(0, 255).astype(np.uint8), (height // 500 + 1,) * 2)
    grey = np.tile(grey, (1, width // grey.shape[1] + 1))[:height, :width].copy()
    boxes = [(x, y, x + side, y + side) for x, y in spots]
    for x1, y1, x2, y2 in boxes:
        grey[y1:y2, x1:x2] = DARK
    return cv2.merge([grey] * 3), np.array(boxes, np.float32)
