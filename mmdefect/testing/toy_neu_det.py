"""A toy NEU-DET: textured steel with six kinds of defects, on disk as the real set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from mmdefect.testing.textures import (
    Box,
    crop_to_content,
    free_spot,
    steel_texture,
    write_picture,
)
from mmdefect.utils.checks import check_range
from mmdefect.utils.files import write_text

VISIBLE = 10.0
"""Grey levels from which a pixel counts as part of a defect: boxes are tight to it."""


def _canvas(height: float, width: float) -> np.ndarray:
    return np.zeros((max(round(height), 6), max(round(width), 6)), np.float32)


def _soften(mask: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(mask, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)


def crazing(rng: Generator, size: float) -> np.ndarray:
    """Dark net of cracks: the edges of a Voronoi diagram in a box."""
    delta = _canvas(*rng.uniform(0.30, 0.52, size=2) * size)
    height, width = delta.shape
    cells = max(6, round(height * width / rng.uniform(70, 110) * (96 / size) ** 2))
    seeds = rng.uniform(0, 1, (cells, 2)) * (height, width)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    grid = np.stack([rows, columns], -1)
    distance = np.linalg.norm(grid[:, :, None] - seeds, axis=-1)
    nearest = np.partition(distance, 1, axis=-1)
    edge = np.clip(1.9 - (nearest[..., 1] - nearest[..., 0]), 0, 1)
    return -rng.uniform(45, 65) * edge.astype(np.float32)


def inclusion(rng: Generator, size: float) -> np.ndarray:
    """Two to four dark ellipses, one below the other."""
    number = int(rng.integers(2, 5))
    radius = rng.uniform(0.03, 0.05) * size
    length = rng.uniform(1.4, 2.2) * radius
    delta = _canvas(number * 2.4 * length + 4, 6 * radius + 4)
    for i in range(number):
        x = delta.shape[1] / 2 + rng.uniform(-1, 1) * radius
        y = 2 + (i + 0.5) * 2.4 * length
        axes = (max(round(radius), 2), max(round(length), 3))
        tilt = rng.uniform(-25, 25)
        cv2.ellipse(delta, (round(x), round(y)), axes, tilt, 0, 360, 1.0, -1)
    return -rng.uniform(50, 75) * _soften(delta, 0.7)


def patches(rng: Generator, size: float) -> np.ndarray:
    """One bright polygon with soft borders."""
    radius = rng.uniform(0.10, 0.20) * size
    delta = _canvas(2.8 * radius + 8, 2.8 * radius + 8)
    corners = int(rng.integers(6, 10))
    angle = np.sort(rng.uniform(0, 1, corners) * 0.6 + np.arange(corners))
    angle *= 2 * np.pi / corners
    reach = radius * rng.uniform(0.75, 1.3, corners)
    points = np.stack([np.cos(angle), np.sin(angle)], -1) * reach[:, None]
    points += np.array(delta.shape[::-1]) / 2
    cv2.fillPoly(delta, [np.rint(points).astype(np.int32)], 1.0)
    return rng.uniform(45, 65) * _soften(delta, 1.2)


def pitted_surface(rng: Generator, size: float) -> np.ndarray:
    """A dark disc with a bright rim."""
    radius = rng.uniform(0.06, 0.13) * size
    delta = _canvas(2 * radius + 8, 2 * radius + 8)
    y, x = np.mgrid[: delta.shape[0], : delta.shape[1]].astype(np.float32)
    r = np.hypot(x - delta.shape[1] / 2, y - delta.shape[0] / 2)
    disc = np.clip(radius - 1.5 - r, 0, 1)
    rim = np.clip(1.8 - np.abs(r - radius), 0, 1)
    return rng.uniform(45, 65) * (rim - disc).astype(np.float32)


def rolled_in_scale(rng: Generator, size: float) -> np.ndarray:
    """Five to nine dark wavy streaks along the rolling direction."""
    number = int(rng.integers(5, 10))
    spacing = rng.uniform(0.042, 0.055) * size
    width = rng.uniform(0.30, 0.5) * size
    delta = _canvas(number * spacing + 8, width + 4)
    for i in range(number):
        start, stop = width * rng.uniform(0, 0.2), width * rng.uniform(0.8, 1)
        x = np.arange(start, stop, 2)
        wave = np.sin(x * 2 * np.pi / rng.uniform(0.12, 0.2) / size + rng.uniform(0, 6))
        y = 4 + (i + 0.5) * spacing + 1.2 * wave
        points = np.rint(np.stack([x + 2, y], -1)).astype(np.int32)
        cv2.polylines(delta, [points], False, 1.0, 1)
    return -rng.uniform(60, 80) * _soften(delta, 0.5)


def scratches(rng: Generator, size: float) -> np.ndarray:
    """One bright straight line, two or three pixels wide."""
    length = rng.uniform(0.25, 0.6) * size
    # Steep, as in the real set: a box of one pixel's width teaches nothing.
    angle = rng.choice([-1, 1]) * np.deg2rad(rng.uniform(50, 80))
    half = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    delta = _canvas(2 * abs(half[1]) + 8, 2 * abs(half[0]) + 8)
    centre = np.array(delta.shape[::-1]) / 2
    start, stop = (np.rint(centre + s * half).astype(int) for s in (-1, 1))
    cv2.line(delta, start.tolist(), stop.tolist(), 1.0, int(rng.integers(2, 4)))
    return rng.uniform(70, 95) * _soften(delta, 0.5)


KINDS: dict[str, Callable[[Generator, float], np.ndarray]] = {
    'crazing': crazing,
    'inclusion': inclusion,
    'patches': patches,
    'pitted_surface': pitted_surface,
    'rolled-in_scale': rolled_in_scale,
    'scratches': scratches,
}
"""Class name -> drawing of one instance: change in grey levels, any shape."""

FOLDERS = dict(zip(KINDS, ('cr', 'in', 'pa', 'ps', 'rs', 'sc'), strict=True))
"""What the real annotation files write as ``<folder>``."""


def make_toy_neu_det(
    root: str | Path,
    *,
    seed: int = 0,
    per_class: int = 90,
    size: int = 96,
    mixed: float = 0.15,
) -> Path:
    """Write ``IMAGES/crazing_1.jpg``, ``ANNOTATIONS/crazing_1.xml`` and so on.

    An image shows one to three instances of its own kind; a fixed share of the images
    shows one instance of another kind too, which a class-incremental step leaves
    unlabelled. Image ``n`` of a kind depends on ``seed``, ``size``, ``mixed`` and its
    own name only.

    Args:
        root: Folder to write to, e.g. ``data/toy/NEU-DET``; it is returned.
        seed: Source of all randomness.
        per_class: Images of each of the six kinds.
        size: Height and width of the images in pixels, at least 64.
        mixed: Share of the images with an instance of another kind.
    """
    check_range('per_class', per_class, 1)
    check_range('size', size, 64)
    check_range('mixed', mixed, 0, 1)
    root = Path(root)
    names = list(KINDS)
    for index, name in enumerate(names):
        for i in range(per_class):
            others = _other_kind(names, index, i, mixed)
            rng = np.random.default_rng([seed, index, i])
            image, objects = _steel_image(rng, size, name, others)
            stem = f'{name}_{i + 1}'
            write_picture(root / 'IMAGES' / f'{stem}.jpg', image, channels=3)
            xml = _voc_xml(stem, FOLDERS[name], size, objects)
            write_text(root / 'ANNOTATIONS' / f'{stem}.xml', xml)
    return root


def _other_kind(names: list[str], index: int, i: int, mixed: float) -> list[str]:
    """Spread the mixed images evenly and cycle through the other kinds."""
    before, now = int(i * mixed + 1e-9), int((i + 1) * mixed + 1e-9)
    if now == before:
        return []
    return [names[(index + 1 + before % (len(names) - 1)) % len(names)]]


def _steel_image(
    rng: Generator, size: int, name: str, others: list[str]
) -> tuple[np.ndarray, list[tuple[str, Box]]]:
    image = steel_texture(rng, size)
    objects: list[tuple[str, Box]] = []
    wanted = [name, *others, *[name] * int(rng.integers(0, 3))]
    for position, kind in enumerate(wanted):
        # The first of each kind must be there; the rest come when there is room.
        must = position <= len(others)
        for attempt in range(200 if must else 12):
            scale = size * max(0.985**attempt, 0.5)
            delta = crop_to_content(KINDS[kind](rng, scale), VISIBLE)
            taken = [box for _, box in objects]
            box = free_spot(rng, delta.shape[:2], size, taken, gap=3)
            if box is not None:
                image[box[1] : box[3], box[0] : box[2]] += delta
                objects.append((kind, box))
                break
    return image, objects


def _voc_xml(stem: str, folder: str, size: int, objects: list[tuple[str, Box]]) -> str:
    lines = [
        '<annotation>',
        f'\t<folder>{folder}</folder>',
        f'\t<filename>{stem}.jpg</filename>',
        '\t<source>\n\t\t<database>NEU-DET</database>\n\t</source>',
        f'\t<size>\n\t\t<width>{size}</width>\n\t\t<height>{size}</height>',
        '\t\t<depth>1</depth>\n\t</size>',
        '\t<segmented>0</segmented>',
    ]
    for name, (x1, y1, x2, y2) in objects:
        lines += [
            f'\t<object>\n\t\t<name>{name}</name>\n\t\t<pose>Unspecified</pose>',
            '\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>',
            f'\t\t<bndbox>\n\t\t\t<xmin>{x1}</xmin>\n\t\t\t<ymin>{y1}</ymin>',
            f'\t\t\t<xmax>{x2}</xmax>\n\t\t\t<ymax>{y2}</ymax>\n\t\t</bndbox>',
            '\t</object>',
        ]
    return '\n'.join([*lines, '</annotation>', ''])
