"""A toy casting set: drawn pump impellers, in the folders of the real set.

As the real vendor, it augments first and splits afterwards: several turned, mirrored
and brightened copies of one part lie in train and in test.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from mmdefect.testing.textures import smooth_noise, write_picture
from mmdefect.utils.checks import check_range

CLASSES = ('def_front', 'ok_front')
_STEMS = ('def', 'ok')
# Drawn larger and averaged, so that edges are smooth.
_FINE = 2
_TEST_SHARE = 0.15


@dataclass
class _Plane:
    """Coordinates of a square image: distance from its middle in half sides, angle."""

    radius: np.ndarray
    angle: np.ndarray

    @classmethod
    def of(cls, size: int) -> _Plane:
        steps = (np.arange(size, dtype=np.float32) - (size - 1) / 2) * (2 / size)
        x, y = np.meshgrid(steps, steps)
        return cls(np.hypot(x, y), np.arctan2(y, x))

    def ring(self, inner: float, outer: float) -> np.ndarray:
        """Boolean mask of a ring."""
        return (self.radius >= inner) & (self.radius < outer)

    def spot(self, radius: float, angle: float, size: float) -> np.ndarray:
        """Boolean mask of a disc."""
        x, y = self.radius * np.cos(self.angle), self.radius * np.sin(self.angle)
        centre = radius * np.cos(angle), radius * np.sin(angle)
        return np.hypot(x - centre[0], y - centre[1]) < size


def draw_impeller(
    rng: Generator, size: int, *, defective: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one part; a defective one has holes in the disc and a bite in its rim.

    Returns:
        Grey levels, float32, and the defect, uint8, 0 or 1; both (size, size).
    """
    plane = _Plane.of(size)
    image = 165 + 8 * smooth_noise(rng, size, (size / 6, size / 6))
    disc = plane.ring(0, 0.84)
    image[disc] = _disc(rng, plane, size)[disc]
    image[plane.ring(0.47, 0.55)] += 25
    image[_shadow(rng, plane)] = 30
    opening = plane.ring(0.22, 0.47)
    image[opening] = _vanes(rng, plane)[opening]
    hub = plane.ring(0, 0.16)
    slope = np.cos(plane.angle - rng.uniform(0, 2 * np.pi)) * plane.radius
    image[hub] = (125 + 200 * slope)[hub]
    mask = np.zeros((size, size), np.uint8)
    if defective:
        for spot in _holes(rng, plane):
            rim = cv2.dilate(spot.astype(np.uint8), np.ones((3, 3), np.uint8))
            image[rim > 0] += 35
            image[spot] = 35
            mask[spot] = 1
    return image.astype(np.float32), mask


def _disc(rng: Generator, plane: _Plane, size: int) -> np.ndarray:
    """Machined metal: light from one side, turning marks, stains, harmless specks."""
    first, second = rng.uniform(0, 2 * np.pi, 2)
    light = 18 * np.cos(2 * (plane.angle - first)) + 10 * np.cos(plane.angle - second)
    marks = 4 * np.sin(plane.radius * rng.uniform(60, 90) + rng.uniform(0, 6))
    stains = 7 * smooth_noise(rng, size, (size / 40, size / 40))
    disc = rng.uniform(165, 195) + light + marks + stains
    for _ in range(int(rng.integers(5, 9))):
        speck = plane.spot(rng.uniform(0.5, 0.83), rng.uniform(0, 2 * np.pi), 0.025)
        disc[speck] += rng.uniform(12, 22) * rng.choice([-1, 1])
    return disc


def _shadow(rng: Generator, plane: _Plane) -> np.ndarray:
    """The groove behind the inner ring: dark on the side away from the light."""
    width = 0.03 * (1 + np.cos(plane.angle - rng.uniform(0, 2 * np.pi)))
    return (plane.radius >= 0.55) & (plane.radius < 0.55 + width)


def _vanes(rng: Generator, plane: _Plane) -> np.ndarray:
    """Dark opening with seven bent vanes, one turned a little."""
    bend = plane.radius * rng.uniform(5, 8) + rng.uniform(0, 2 * np.pi)
    vanes = np.clip(np.cos(7 * plane.angle + bend * 2), 0, 1)
    uneven = 1 + 0.5 * np.cos(plane.angle - rng.uniform(0, 2 * np.pi))
    return 18 + 22 * vanes * uneven


def _holes(rng: Generator, plane: _Plane) -> list[np.ndarray]:
    """One to three blow holes, and now and then a bite out of the rim."""
    holes = [
        plane.spot(
            rng.uniform(0.62, 0.76), rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.08)
        )
        for _ in range(int(rng.integers(1, 4)))
    ]
    if rng.random() < 0.4:
        holes.append(plane.spot(0.82, rng.uniform(0, 2 * np.pi), 0.1))
    return holes


def turn_copy(
    rng: Generator, image: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Make a sibling of an image and its mask as the vendor does: turned, flipped."""
    size = len(image)
    middle = ((size - 1) / 2, (size - 1) / 2)
    warp = cv2.getRotationMatrix2D(middle, rng.uniform(0, 360), 1.0)
    repeat = cv2.BORDER_REPLICATE
    image = cv2.warpAffine(image, warp, (size, size), borderMode=repeat)
    mask = cv2.warpAffine(mask, warp, (size, size), flags=cv2.INTER_NEAREST)
    for axis in (0, 1):
        if rng.random() < 0.5:
            image, mask = np.flip(image, axis), np.flip(mask, axis)
    return image * rng.uniform(0.92, 1.08), mask


def make_toy_casting(
    root: str | Path,
    *,
    parts: int = 8,
    copies: int = 6,
    size: int = 96,
    seed: int = 0,
    masks: bool = False,
    originals: bool = False,
) -> Path:
    """Write ``train/def_front/cast_def_0_3.jpeg`` and so on below ``root``.

    A part depends on ``seed``, ``size``, its class and its number only. Copy ``c`` of
    part ``p`` is image ``p * copies + c`` of its class; which ones are in ``test`` is
    drawn, 15 % of each class.

    Args:
        root: Folder to write to, e.g. ``data/toy/casting``; it is returned.
        parts: Different parts of each class; a split needs three.
        copies: Images of each part, at least 2.
        size: Height and width in pixels, at least 64.
        seed: Source of all randomness.
        masks: Whether to outline defects, in ``masks/{train,test}/def_front``.
        originals: Whether to write one image a part to ``casting_512x512/def_front``
            and so on, not augmented and twice as large.
    """
    check_range('parts', parts, 1)
    check_range('copies', copies, 2)
    check_range('size', size, 64)
    root = Path(root)
    for label, stem in enumerate(_STEMS):
        rng = np.random.default_rng([seed, label])
        number = parts * copies
        for_test = max(1, round(_TEST_SHARE * number))
        in_test = set(rng.permutation(number)[:for_test].tolist())
        for part in range(parts):
            rng = np.random.default_rng([seed, label, part])
            drawn = draw_impeller(rng, _FINE * size, defective=label == 0)
            for index in range(part * copies, (part + 1) * copies):
                split = 'test' if index in in_test else 'train'
                name = f'{split}/{CLASSES[label]}/cast_{stem}_0_{index}'
                copy = drawn if index % copies == 0 else turn_copy(rng, *drawn)
                _write(root, name, *copy, size=size, outline=masks and label == 0)
            if originals:
                path = f'casting_512x512/{CLASSES[label]}/cast_{stem}_0_{part}.jpeg'
                write_picture(root / path, drawn[0], channels=3)
    return root


def _write(
    root: Path,
    name: str,
    image: np.ndarray,
    mask: np.ndarray,
    *,
    size: int,
    outline: bool,
) -> None:
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    write_picture(root / f'{name}.jpeg', small, channels=3)
    if outline:
        share = cv2.resize(mask * 255, (size, size), interpolation=cv2.INTER_AREA)
        path = root / 'masks' / f'{name}_mask.png'
        write_picture(path, np.where(share > 127, 255, 0))
