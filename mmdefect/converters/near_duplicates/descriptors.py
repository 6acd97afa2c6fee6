"""What an image of a round part looks like, whatever its rotation, mirror and light.

The part is unrolled around its opening (see :mod:`.opening`): a rotated image shifts
its map along the angle, a mirrored one reverses it. Shading and brightness are taken
out by subtracting a blurred copy and dividing by the local contrast; what all parts of
the type have in common, the mean of every ring, goes too. What stays is the part's own:
marks, edges, moulding, light of that one photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mmdefect.converters.near_duplicates.opening import (
    Ellipse,
    find_opening,
    sample,
    unit_points,
    whole_image,
)
from mmdefect.datasets.images import read_info
from mmdefect.utils.image_header import ImageError, header_of, read_bytes
from mmdefect.utils.images import decode

RINGS, ANGLES = 32, 128
"""Shape of a map: rings from the hub outwards, and steps around."""
REACH = (0.3, 2.0)
"""First and last ring, in radii of the opening: hub to rim."""

_VERSION = 1  # raised whenever stored maps would come out differently
_FINE = 2  # maps are sampled finer and averaged, which is their low-pass filter
_WRAP = 32
# Grey levels squared: keeps the noise of an even surface from being blown up.
_NOISE = 4.0


@dataclass
class Descriptors:
    """Maps of many images.

    Args:
        maps: Shape (N, RINGS, ANGLES), float16, each of norm 1.
        openings: Where the opening of each image is; shape (N, 5): x, y, both axes,
            angle.
        guessed: Indices of images without a visible opening, unrolled around their
            middle.
    """

    maps: np.ndarray
    openings: np.ndarray
    guessed: list[int]

    def opening(self, index: int) -> Ellipse:
        """The opening of one image."""
        x, y, width, height, angle = map(float, self.openings[index])
        return Ellipse((x, y), (width, height), angle)


def read_grey(path: str | Path) -> np.ndarray:
    """Decode an image to one channel, shape (H, W), uint8.

    Raises:
        ValueError: If the file is missing or no image.
    """
    try:
        data = read_bytes(path)
        header = header_of(data)
        if not header.mode:  # the decoder's own grey
            return decode(data, header, flag=cv2.IMREAD_GRAYSCALE)
    except ImageError as error:
        raise ValueError(
            f'{path}: expected an image ({error}); restore or remove it'
        ) from None
    image = read_info({'img_path': str(path)}, data=data)
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def unroll(grey: np.ndarray, opening: Ellipse) -> np.ndarray:
    """Sample an image (H, W), uint8, along rings around its opening.

    Returns:
        Grey levels, float32, shape (2 * RINGS, 2 * ANGLES).
    """
    angles = np.arange(_FINE * ANGLES) * (2 * np.pi / (_FINE * ANGLES))
    radii = np.linspace(*REACH, _FINE * RINGS)
    pixels = opening.place(unit_points(angles[None], radii[:, None]))
    soft = cv2.GaussianBlur(grey, (0, 0), 0.6)
    return sample(soft, pixels).astype(np.float32)


def describe(grey: np.ndarray, opening: Ellipse | None = None) -> np.ndarray:
    """Make the map of one image (H, W), uint8.

    Without an opening it is looked for; the middle of the image is taken where there is
    none.

    Returns:
        Shape (RINGS, ANGLES), float32, norm 1; zeros for an even image.
    """
    opening = opening or find_opening(grey) or whole_image(grey.shape)
    rings = unroll(grey, opening)
    rings = np.concatenate([rings[:, -_WRAP:], rings, rings[:, :_WRAP]], axis=1)
    detail = rings - cv2.GaussianBlur(rings, (0, 0), sigmaX=6, sigmaY=3)
    power = cv2.GaussianBlur(detail * detail, (0, 0), sigmaX=12, sigmaY=6)
    even = (detail / np.sqrt(power + _NOISE))[:, _WRAP:-_WRAP]
    small = even.reshape(RINGS, _FINE, ANGLES, _FINE).mean(axis=(1, 3))
    small -= small.mean(axis=1, keepdims=True)
    return small / max(float(np.linalg.norm(small)), 1e-6)


def describe_files(paths: Sequence[str | Path]) -> Descriptors:
    """Make the maps of many files, in their order.

    Raises:
        ValueError: If there is no file, or one of them cannot be decoded.
    """
    if not paths:
        raise ValueError(
            'paths=[]: expected at least one image to describe; check the folder'
        )
    maps = np.zeros((len(paths), RINGS, ANGLES), np.float16)
    openings = np.zeros((len(paths), 5))
    guessed = []
    for index, path in enumerate(paths):
        grey = read_grey(path)
        opening = find_opening(grey)
        if opening is None:
            guessed.append(index)
            opening = whole_image(grey.shape)
        maps[index] = describe(grey, opening)
        openings[index] = (*opening.centre, *opening.axes, opening.angle)
    return Descriptors(maps, openings, guessed)


def save_descriptors(path: Path, found: Descriptors, hashes: Sequence[str]) -> None:
    """Write maps with the hashes of the files that they belong to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('wb') as file:
        np.savez(
            file,
            maps=found.maps,
            openings=found.openings,
            guessed=np.array(found.guessed, np.int64),
            hashes=np.array(hashes),
            version=np.array(_VERSION),
        )


def load_descriptors(path: Path, hashes: Sequence[str]) -> Descriptors | None:
    """Read maps; None if the file is not there, old, or not of these very images."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        current = int(stored['version']) == _VERSION
        if not current or not np.array_equal(stored['hashes'], np.array(hashes)):
            return None
        guessed = stored['guessed'].tolist()
        return Descriptors(stored['maps'], stored['openings'], guessed)
