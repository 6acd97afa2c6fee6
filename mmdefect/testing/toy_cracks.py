"""Toy cracks: asphalt and concrete with outlined cracks, on disk as CRACK500.

Dark pores and dirt lie beside the cracks, so that "dark" alone is no crack.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from mmdefect.testing.textures import smooth_noise, write_picture
from mmdefect.utils.checks import check_range

CRACK, PORE, DIRT = 1, 2, 3
"""Ids in the masks; 0 is background."""
MASK_CLASSES = ('crack', 'pore', 'dirt')
"""Names of the ids from 1 on."""


def asphalt(rng: Generator, size: int) -> np.ndarray:
    """Dark with bright stones; grey levels, shape (size, size)."""
    stones = np.clip(smooth_noise(rng, size, (1.2, 1.2)) - 1.0, 0, None)
    grain = 7 * smooth_noise(rng, size, (0.6, 0.6))
    clouds = 5 * smooth_noise(rng, size, (size / 8, size / 8))
    return rng.uniform(95, 120) + grain + clouds + 28 * stones


def concrete(rng: Generator, size: int) -> np.ndarray:
    """Bright with faint marks of the form; grey levels, shape (size, size)."""
    grain = 4 * smooth_noise(rng, size, (0.8, 0.8))
    marks = 4 * smooth_noise(rng, size, (size / 5, 1.5))
    clouds = 7 * smooth_noise(rng, size, (size / 10, size / 10))
    return rng.uniform(150, 180) + grain + marks + clouds


TEXTURES = (asphalt, concrete)


def draw_crack(rng: Generator, shape: np.ndarray) -> None:
    """Draw a thin crack that wanders and may branch, as 1 into uint8, (size, size)."""
    size = len(shape)
    start = rng.uniform(0.15, 0.85, 2) * size
    angle = rng.uniform(0, 2 * np.pi)
    width = 2 + int(rng.random() < 0.5)
    line = _walk(rng, start, angle, round(rng.uniform(0.45, 0.8) * size / 8))
    cv2.polylines(shape, [line], False, 1, width)
    for _ in range(int(rng.integers(0, 3))):
        place = int(rng.integers(len(line) // 4, 3 * len(line) // 4))
        turn = angle + rng.choice([-1, 1]) * rng.uniform(0.5, 1.2)
        length = round(rng.uniform(0.1, 0.3) * size / 8)
        branch = _walk(rng, line[place].astype(float), turn, max(length, 2))
        cv2.polylines(shape, [branch], False, 1, width - 1)


def _walk(rng: Generator, start: np.ndarray, angle: float, steps: int) -> np.ndarray:
    """Corners of a broken line, about 8 pixels apart; int32, shape (steps + 1, 2)."""
    bends = angle + np.cumsum(rng.normal(0, 0.12, steps)) + rng.normal(0, 0.45, steps)
    moves = 8 * np.stack([np.cos(bends), np.sin(bends)], axis=1)
    return np.rint(np.concatenate([[start], start + np.cumsum(moves, 0)])).astype(int)


def draw_pore(rng: Generator, shape: np.ndarray) -> None:
    """Draw a small dark hole, see :func:`draw_crack`."""
    size = len(shape)
    axes = np.rint(rng.uniform(0.012, 0.028, 2) * size).astype(int) + 1
    centre = np.rint(rng.uniform(0.05, 0.95, 2) * size).astype(int)
    turn = float(rng.uniform(0, 180))
    cv2.ellipse(shape, centre.tolist(), axes.tolist(), turn, 0, 360, 1, -1)


def draw_dirt(rng: Generator, shape: np.ndarray) -> None:
    """Draw a ragged stain, see :func:`draw_crack`."""
    size = len(shape)
    rows, columns = np.mgrid[:size, :size]
    x, y = rng.uniform(0.1, 0.9, 2) * size
    distance = np.hypot(columns - x, rows - y) / (rng.uniform(0.05, 0.1) * size)
    shape[distance + 0.2 * smooth_noise(rng, size, (3, 3)) < 1] = 1


# id, drawing, how many at least and at most, what the grey level is multiplied by
_OBJECTS = (
    (DIRT, draw_dirt, (0, 2), (0.65, 0.8)),
    (PORE, draw_pore, (1, 4), (0.3, 0.5)),
    (CRACK, draw_crack, (1, 1), (0.3, 0.5)),
)


def draw_surface(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image; a crack lies over pores, and those over dirt.

    Returns:
        BGR levels, float32, shape (size, size, 3), and ids, uint8, shape (size, size).
        A pixel differs from the good surface only where its id is above 0.
    """
    image, factor, ids = draw_parts(rng, size)
    return image * factor[..., None], ids


def draw_parts(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The good surface (size, size, 3), what it is multiplied by, and ids."""
    grey = TEXTURES[int(rng.integers(len(TEXTURES)))](rng, size)
    tint = rng.uniform(0.95, 1.05, 3)
    image = (grey[..., None] * tint).astype(np.float32)
    ids = np.zeros((size, size), np.uint8)
    factor = np.ones((size, size), np.float32)
    for number, draw, (least, most), (low, high) in _OBJECTS:
        for _ in range(int(rng.integers(least, most + 1))):
            shape = np.zeros((size, size), np.uint8)
            draw(rng, shape)
            ids[shape > 0] = number
            factor[shape > 0] = rng.uniform(low, high)
    return image, factor, ids


def make_toy_cracks(
    root: str | Path,
    *,
    seed: int = 0,
    size: int = 224,
    train: int = 40,
    val: int = 12,
    test: int = 20,
) -> Path:
    """Write ``train/images/000.png``, ``train/masks/000.png`` and so on.

    Masks hold :data:`CRACK`, :data:`PORE` and :data:`DIRT` and are exact to the pixel.
    An image depends on ``seed``, ``size`` and its own name only.

    Args:
        root: Folder to write to, e.g. ``data/toy/cracks``; it is returned.
        seed: Source of all randomness.
        size: Height and width of the images in pixels, at least 64.
        train: Training images; a crack is in each.
        val: Validation images.
        test: Test images.
    """
    numbers = {'train': train, 'val': val, 'test': test}
    check_range('size', size, 64)
    for subset, number in numbers.items():
        check_range(subset, number, 1)
    root = Path(root)
    for index, (subset, number) in enumerate(numbers.items()):
        for i in range(number):
            image, ids = draw_surface(np.random.default_rng([seed, index, i]), size)
            write_picture(root / subset / 'images' / f'{i:03d}.png', image)
            write_picture(root / subset / 'masks' / f'{i:03d}.png', ids)
    return root
