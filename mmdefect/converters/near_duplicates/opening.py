"""Find the dark opening of an impeller: the ellipse that all polar maps start from.

The opening between hub and disc is the darkest thing in the image, whatever the light,
and its border is sharp. A first guess comes from thresholds, then the border is looked
for along rays, so that the result does not depend on the threshold.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

# Shares of Otsu's threshold that are tried: dark discs and shadows need low ones.
_LEVELS = (0.4, 0.55, 0.7, 0.85, 1.0)
_RAYS = 180
_SAMPLES = 61
# In shares of the image side: smaller ellipses are the hole of the hub.
_SMALLEST = 0.3
# An image of a part seen from the side has 0.74; a half-found opening has less.
_FLATTEST = 0.6
# Mean distance of a border from its ellipse, in radii: real ones have up to 0.009,
# half-found ones of the same images at least 0.015.
_FITS = 0.012


class Ellipse(NamedTuple):
    """An ellipse in pixels.

    Args:
        centre: x and y.
        axes: Full lengths of both axes.
        angle: Rotation of the first axis in degrees, as OpenCV counts them.
    """

    centre: tuple[float, float]
    axes: tuple[float, float]
    angle: float

    def place(self, points: np.ndarray) -> np.ndarray:
        """Move points of the unit circle's plane, shape (..., 2), to pixels, float32.

        The stretch is symmetric, so a rotated or mirrored image of one part rotates or
        mirrors the unit plane: nothing else changes.
        """
        turn = np.deg2rad(self.angle)
        basis = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        stretch = basis @ np.diag(self.axes) @ basis.T / 2
        return (points @ stretch.T + self.centre).astype(np.float32)


def unit_points(angles: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Points at angles (radians) and distances from the origin: x and y, (..., 2)."""
    return np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=-1)


def sample(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Read an image (H, W) at fractional pixels; outside is the nearest border.

    Args:
        image: Shape (H, W).
        pixels: x and y, float32, shape (h, w, 2).
    """
    return cv2.remap(
        image,
        np.ascontiguousarray(pixels[..., 0]),
        np.ascontiguousarray(pixels[..., 1]),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def whole_image(shape: tuple[int, ...]) -> Ellipse:
    """What is taken where no opening is found: a circle in the middle."""
    height, width = shape[:2]
    side = 0.45 * min(height, width)
    return Ellipse((width / 2, height / 2), (side, side), 0.0)


def find_opening(grey: np.ndarray) -> Ellipse | None:
    """Find the border of the dark opening around the middle of an image (H, W), uint8.

    A shadow can make the groove behind it, or the whole disc, a clean ellipse too, so
    the smallest one that fits is taken, not the best: copies of one image agree on it.
    None when nothing dark, round and large enough is there.
    """
    soft = cv2.GaussianBlur(grey, (0, 0), 1.0)
    found: list[tuple[float, Ellipse]] = []
    tried: list[Ellipse] = []
    for guess in _guesses(soft):
        if any(_alike(guess, other) for other in tried):
            continue
        tried.append(guess)
        followed = _follow_border(soft, guess)
        if followed is not None:
            found.append(followed)
    fitting = [ellipse for off, ellipse in found if off < _FITS]
    if fitting:
        return min(fitting, key=lambda ellipse: np.prod(ellipse.axes))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _guesses(soft: np.ndarray) -> list[Ellipse]:
    otsu, _ = cv2.threshold(soft, 0, 255, cv2.THRESH_OTSU)
    side = min(soft.shape)
    brush = np.ones([max(3, round(side / 60))] * 2, np.uint8)
    found = []
    for level in _LEVELS:
        dark = (soft < otsu * level).astype(np.uint8)
        dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, brush)
        contours, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            hull = cv2.convexHull(contour)
            if _around_middle(hull, soft.shape) and len(hull) >= 5:
                ellipse = Ellipse(*cv2.fitEllipse(hull))
                if _plausible(ellipse, side):
                    found.append(ellipse)
    return found


def _around_middle(hull: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether a shape holds the middle of the image and does not touch its border."""
    height, width = shape
    x, y, w, h = cv2.boundingRect(hull)
    inside = x > 0 and y > 0 and x + w < width and y + h < height
    return inside and x < width / 2 < x + w and y < height / 2 < y + h


def _plausible(ellipse: Ellipse, side: int) -> bool:
    short, long = sorted(ellipse.axes)
    return short > _FLATTEST * long and np.sqrt(short * long) > _SMALLEST * side


def _alike(one: Ellipse, other: Ellipse) -> bool:
    apart = np.hypot(*np.subtract(one.centre, other.centre))
    return bool(apart < 1 and abs(max(one.axes) - max(other.axes)) < 2)


def _follow_border(soft: np.ndarray, guess: Ellipse) -> tuple[float, Ellipse] | None:
    """Look for the step from dark to bright along rays, and fit again, three times.

    Returns:
        Mean distance of the steps from the ellipse, as a share of its radius and with
        a small addition for rays without a usable step; and the ellipse.
    """
    ellipse, reach = guess, 0.12
    angles = np.arange(_RAYS) * (2 * np.pi / _RAYS)
    for _ in range(3):
        radii = np.linspace(1 - reach, 1 + reach, _SAMPLES)
        rays = ellipse.place(unit_points(angles[:, None], radii[None]))
        profile = sample(soft, rays).astype(np.float32)
        profile = cv2.GaussianBlur(profile, (0, 0), sigmaX=2, sigmaY=0.01)
        step = radii[1:-1][(profile[:, 2:] - profile[:, :-2]).argmax(axis=1)]
        off = np.abs(step - np.median(step))
        used = off < 3 * np.median(off) + 0.01
        if used.sum() < _RAYS / 3:
            return None
        border = ellipse.place(unit_points(angles, step))[used]
        ellipse = Ellipse(*cv2.fitEllipse(border))
        if not _plausible(ellipse, min(soft.shape)):
            return None
        reach = max(reach / 2, 0.04)
    return _distance(ellipse, border) + 0.02 * float(1 - used.mean()), ellipse


def _distance(ellipse: Ellipse, border: np.ndarray) -> float:
    """Mean distance of pixels from an ellipse, in shares of its radius."""
    x_axis, y_axis = (
        ellipse.place(np.array([point])) - ellipse.place(np.zeros((1, 2)))
        for point in ((1.0, 0.0), (0.0, 1.0))
    )
    stretch = np.concatenate([x_axis, y_axis]).T
    unit = np.linalg.solve(stretch, (border - ellipse.centre).T)
    return float(np.abs(np.linalg.norm(unit, axis=0) - 1).mean())
