"""Toy products: textured surfaces with outlined defects, on disk as MVTec-AD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from mmdefect.testing.textures import smooth_noise, write_picture
from mmdefect.utils.checks import check_range

Colour = tuple[float, float, float]
"""Blue, green, red in grey levels."""
Texture = Callable[[Generator, int], np.ndarray]
"""Draws a surface of a size in pixels: grey levels, shape (size, size, 3)."""


def _array(values: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def _paint(pattern: np.ndarray, dark: Colour, bright: Colour) -> np.ndarray:
    """Mix two colours by a pattern from 0 to 1; shape (size, size, 3)."""
    share = np.clip(pattern, 0, 1)[..., None].astype(np.float32)
    return (1 - share) * _array(dark) + share * _array(bright)


def _grid(rng: Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows in pixels, shifted at random."""
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    shift_x, shift_y = rng.uniform(0, size, 2)
    return columns + np.float32(shift_x), rows + np.float32(shift_y)


def cloth(rng: Generator, size: int) -> np.ndarray:
    """Blue plain weave: warp and weft alternate on top."""
    x, y = _grid(rng, size)
    warp, weft = np.sin(2 * np.pi * x / 8), np.sin(2 * np.pi * y / 8)
    on_top = np.sin(np.pi * x / 8) * np.sin(np.pi * y / 8) > 0
    weave = 0.5 + 0.25 * np.where(on_top, warp, weft)
    thread = 0.06 * smooth_noise(rng, size, (1, 1))
    return _paint(weave + thread, (90, 45, 25), (210, 210, 210))


def dots(rng: Generator, size: int) -> np.ndarray:
    """Red dots printed on cream paper, on a regular grid."""
    x, y = _grid(rng, size)
    distance = np.hypot(x % 16 - 8, y % 16 - 8)
    printed = np.clip(5.5 - distance, 0, 1)
    grain = 0.5 + 0.2 * smooth_noise(rng, size, (2, 2))
    paper = _paint(grain, (190, 215, 230), (220, 240, 250))
    share = printed[..., None]
    return paper * (1 - share) + share * _array((50, 40, 200))


def marble(rng: Generator, size: int) -> np.ndarray:
    """Green marble: veins of turbulence."""
    x, y = _grid(rng, size)
    bend = 10 * smooth_noise(rng, size, (size / 10, size / 10))
    veins = np.abs(np.sin((x + 0.6 * y + bend) / 14)) ** 0.5
    cloud = 0.12 * smooth_noise(rng, size, (4, 4))
    return _paint(veins + cloud, (150, 190, 160), (70, 110, 50))


def metal(rng: Generator, size: int) -> np.ndarray:
    """Brushed grey metal: streaks along the rows."""
    streaks = smooth_noise(rng, size, (size / 8, 0.6))
    grain = smooth_noise(rng, size, (0.6, 0.6))
    return _paint(0.5 + 0.16 * streaks + 0.05 * grain, (95, 90, 90), (195, 195, 190))


def tiles(rng: Generator, size: int) -> np.ndarray:
    """Ochre tiles with dark joints; each tile has its own shade."""
    x, y = _grid(rng, size)
    joint = np.minimum(x % 32, y % 32) < 3
    shades = rng.uniform(-0.15, 0.15, (16, 16))
    shade = shades[(y // 32).astype(int) % 16, (x // 32).astype(int) % 16]
    surface = 0.6 + shade + 0.05 * smooth_noise(rng, size, (1, 1))
    return _paint(np.where(joint, 0, surface), (40, 45, 50), (90, 190, 235))


def wood(rng: Generator, size: int) -> np.ndarray:
    """Brown wood: annual rings, cut lengthwise."""
    x, _ = _grid(rng, size)
    bend = 5 * smooth_noise(rng, size, (size / 20, size / 4))
    rings = 0.5 + 0.3 * np.sin(2 * np.pi * (x + bend) / 11)
    fibre = 0.1 * smooth_noise(rng, size, (0.6, 6))
    return _paint(rings + fibre, (35, 60, 100), (110, 160, 205))


def surface(texture: Texture, rng: Generator, size: int) -> np.ndarray:
    """A good surface under light that differs from image to image.

    Without it the mean colour alone would tell good from defective.

    Returns:
        Grey levels, shape (size, size, 3).
    """
    image = texture(rng, size)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    slope_x, slope_y = rng.uniform(-0.05, 0.05, 2)
    light = rng.uniform(0.92, 1.08) + slope_x * ramp[None, :] + slope_y * ramp[:, None]
    tint = rng.uniform(0.97, 1.03, 3)
    return image * light[..., None].astype(np.float32) * _array(tint)


# Each draws a shape: uint8, non-zero where the surface is changed. Lengths are shares
# of the image, so that a defect looks the same at any size.


def _point(rng: Generator, size: int, margin: float = 0.2) -> np.ndarray:
    return rng.uniform(margin * size, (1 - margin) * size, 2)


def scratch(rng: Generator, shape: np.ndarray) -> None:
    """A straight line, a quarter to half of the image long."""
    size = len(shape)
    angle, half = rng.uniform(0, np.pi), rng.uniform(0.13, 0.25) * size
    centre = _point(rng, size, 0.3)
    step = half * np.array([np.cos(angle), np.sin(angle)])
    start, stop = (np.rint(centre + s * step).astype(int).tolist() for s in (-1, 1))
    cv2.line(shape, start, stop, 1, max(round(0.025 * size), 2))


def crack(rng: Generator, shape: np.ndarray) -> None:
    """A broken line of six pieces that wanders off."""
    size = len(shape)
    angle = rng.uniform(0, 2 * np.pi)
    points = [_point(rng, size, 0.3)]
    for _ in range(6):
        angle += rng.uniform(-0.8, 0.8)
        points.append(
            points[-1] + 0.08 * size * np.array([np.cos(angle), np.sin(angle)])
        )
    line = np.rint(points).astype(np.int32)
    cv2.polylines(shape, [line], False, 1, max(round(0.02 * size), 2))


def spot(rng: Generator, shape: np.ndarray) -> None:
    """A disc."""
    size = len(shape)
    radius = max(round(rng.uniform(0.05, 0.09) * size), 3)
    cv2.circle(shape, np.rint(_point(rng, size)).astype(int).tolist(), radius, 1, -1)


def hole(rng: Generator, shape: np.ndarray) -> None:
    """A slanting ellipse."""
    size = len(shape)
    axes = np.rint(rng.uniform((0.05, 0.08), (0.07, 0.13)) * size).astype(int)
    centre = np.rint(_point(rng, size)).astype(int).tolist()
    cv2.ellipse(shape, centre, axes.tolist(), rng.uniform(0, 180), 0, 360, 1, -1)


def stain(rng: Generator, shape: np.ndarray) -> None:
    """A large patch with a ragged edge."""
    size = len(shape)
    rows, columns = np.mgrid[:size, :size]
    x, y = _point(rng, size)
    distance = np.hypot(columns - x, rows - y) / (rng.uniform(0.11, 0.16) * size)
    ragged = distance + 0.18 * smooth_noise(rng, size, (size / 30, size / 30))
    shape[ragged < 1] = 1


@dataclass(frozen=True)
class Defect:
    """A kind of defect of one product.

    Args:
        draw: Draws the shape.
        colour: What shines through, in grey levels.
        opacity: Share of that colour, from 0 to 1.
    """

    draw: Callable[[Generator, np.ndarray], None]
    colour: Colour
    opacity: float = 0.85


Looks = tuple[Texture, dict[str, Defect]]

PRODUCTS: dict[str, Looks] = {
    'cloth': (
        cloth,
        {
            'cut': Defect(scratch, (235, 235, 240)),
            'hole': Defect(hole, (15, 15, 15), 0.95),
            'stain': Defect(stain, (40, 70, 100), 0.6),
        },
    ),
    'dots': (
        dots,
        {
            'blot': Defect(spot, (50, 40, 200), 1.0),
            'missing': Defect(stain, (205, 228, 240), 1.0),
            'scratch': Defect(scratch, (90, 90, 90)),
        },
    ),
    'marble': (
        marble,
        {
            'crack': Defect(crack, (20, 25, 20)),
            'spot': Defect(spot, (235, 240, 240)),
            'stain': Defect(stain, (60, 60, 170), 0.5),
        },
    ),
    'metal': (
        metal,
        {
            'dent': Defect(hole, (50, 50, 50), 0.7),
            'rust': Defect(stain, (40, 80, 150), 0.6),
            'scratch': Defect(scratch, (250, 250, 250), 0.9),
        },
    ),
    'tiles': (
        tiles,
        {
            'chip': Defect(spot, (225, 230, 235)),
            'crack': Defect(crack, (30, 30, 35)),
            'stain': Defect(stain, (110, 100, 90), 0.6),
        },
    ),
    'wood': (
        wood,
        {
            'knot': Defect(hole, (20, 30, 50)),
            'paint': Defect(stain, (170, 140, 60), 0.6),
            'scratch': Defect(scratch, (190, 220, 240)),
        },
    ),
}
"""Product -> its texture and its defect kinds; alphabetical, as the real sets."""


def make_toy_products(
    root: str | Path,
    *,
    seed: int = 0,
    size: int = 128,
    products: int = 6,
    train: int = 24,
    test: int = 20,
) -> Path:
    """Write ``cloth/train/good/000.png``, ``cloth/ground_truth/cut/000_mask.png`` etc.

    Two in five test images are good, the others show one defect each, all kinds of a
    product in turn. Masks are exact: a pixel differs from the good surface only inside.
    An image depends on ``seed``, ``size`` and its own name only.

    Args:
        root: Folder to write to, e.g. ``data/toy/products``; it is returned.
        seed: Source of all randomness.
        size: Height and width of the images in pixels, at least 32.
        products: How many of the six products.
        train: Good training images of each.
        test: Test images of each, at least 2.
    """
    check_range('size', size, 32)
    check_range('products', products, 1, len(PRODUCTS))
    check_range('train', train, 1)
    check_range('test', test, 2)
    root = Path(root)
    chosen = list(PRODUCTS.items())[:products]
    for index, (product, (texture, defects)) in enumerate(chosen):
        folder, kinds = root / product, list(defects)
        good = max(round(0.4 * test), 1)
        for i in range(train):
            rng = np.random.default_rng([seed, index, 0, i])
            drawn = surface(texture, rng, size)
            write_picture(folder / f'train/good/{i:03d}.png', drawn)
        for i in range(good):
            rng = np.random.default_rng([seed, index, 1, i])
            drawn = surface(texture, rng, size)
            write_picture(folder / f'test/good/{i:03d}.png', drawn)
        for i in range(test - good):
            rng = np.random.default_rng([seed, index, 2, i])
            kind, name = kinds[i % len(kinds)], f'{i // len(kinds):03d}'
            image, shape = spoil(rng, surface(texture, rng, size), defects[kind])
            write_picture(folder / f'test/{kind}/{name}.png', image)
            write_picture(folder / f'ground_truth/{kind}/{name}_mask.png', 255 * shape)
    return root


def spoil(
    rng: Generator, image: np.ndarray, defect: Defect
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one defect on a surface of grey levels, shape (size, size, 3).

    Returns:
        The changed image, and the changed pixels: uint8, shape (size, size), 0 or 1.
    """
    shape = np.zeros(image.shape[:2], np.uint8)
    defect.draw(rng, shape)
    mixed = (1 - defect.opacity) * image + defect.opacity * _array(defect.colour)
    return np.where(shape[..., None] > 0, mixed, image), shape
