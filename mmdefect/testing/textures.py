"""Grey textures, and the placing of defects on them.

Everything is drawn from a :class:`numpy.random.Generator`, so a seed fixes every
byte. Images are float32 arrays in grey levels (0 to 255) until they are written.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

Box = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels; x2 and y2 are the first column and row outside."""


def smooth_noise(rng: Generator, size: int, sigma: tuple[float, float]) -> np.ndarray:
    """Noise blurred by ``sigma`` pixels along x and y, mean 0, deviation 1, square."""
    noise = rng.standard_normal((size, size)).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma[0], sigmaY=sigma[1])
    return (noise - noise.mean()) / (noise.std() + 1e-6)


def steel_texture(rng: Generator, size: int) -> np.ndarray:
    """A rolled steel surface: clouds, rolling marks, grain and slanting light.

    Returns:
        Grey levels around 125, of shape (size, size).
    """
    clouds = 5 * smooth_noise(rng, size, (size / 8, size / 8))
    marks = 4 * smooth_noise(rng, size, (size / 10, 0.6))
    grain = 4 * rng.standard_normal((size, size)).astype(np.float32)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    slope_x, slope_y = rng.uniform(-8, 8, size=2)
    light = slope_x * ramp[None, :] + slope_y * ramp[:, None]
    return rng.uniform(110, 140) + clouds + marks + grain + light


def crop_to_content(delta: np.ndarray, threshold: float) -> np.ndarray:
    """Cut a drawing down to the pixels that change the image by more than a threshold.

    Args:
        delta: Change in grey levels, shape (height, width).
        threshold: In grey levels.

    Raises:
        ValueError: If there is no such pixel.
    """
    visible = np.abs(delta) > threshold
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    if rows.size == 0:
        raise ValueError(
            f'a drawing changes no pixel by more than {threshold} grey levels: '
            'expected a visible defect; raise its contrast or its size'
        )
    return delta[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def free_spot(
    rng: Generator, shape: tuple[int, int], size: int, taken: list[Box], gap: int
) -> Box | None:
    """Draw one position and return its box, or None when it is not free.

    Args:
        rng: Source of randomness.
        shape: Height and width of what is to be placed, in pixels.
        size: Height and width of the image.
        taken: Boxes that must not be touched.
        gap: Distance to keep from them, in pixels.
    """
    height, width = shape
    if height > size - 2 or width > size - 2:
        return None
    x = int(rng.integers(1, size - width))
    y = int(rng.integers(1, size - height))
    box = (x, y, x + width, y + height)
    return None if any(boxes_touch(box, other, gap=gap) for other in taken) else box


def boxes_touch(a: Box, b: Box, *, gap: int) -> bool:
    """Say whether two boxes overlap or come closer than ``gap`` pixels."""
    return (
        a[0] < b[2] + gap
        and b[0] < a[2] + gap
        and a[1] < b[3] + gap
        and b[1] < a[3] + gap
    )


def write_picture(path: Path, image: np.ndarray, *, channels: int = 1) -> None:
    """Write grey levels, as the suffix of the file says, creating its folder.

    Args:
        path: A PNG or JPEG.
        image: Grey levels, shape (H, W) or (H, W, 3); clipped to 0 to 255.
        channels: 3 for three equal channels of a grey image (as NEU-DET).

    Raises:
        OSError: If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if channels == 3:
        pixels = cv2.merge([pixels] * 3)
    png = path.suffix == '.png'
    how = [] if png else [cv2.IMWRITE_JPEG_QUALITY, 95]
    if not cv2.imwrite(str(path), pixels, how):
        raise OSError(f'{path}: expected a file that can be written; check its folder')
