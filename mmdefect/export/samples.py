"""Pictures on which a package is compared with its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import cv2
import numpy as np

from mmdefect.apis.datasets import build_dataset
from mmdefect.apis.trained import dataset_of
from mmdefect.datasets.images import read_info
from mmdefect.deploy.inputs import InputSpec
from mmdefect.deploy.sources import Inputs, open_frames
from mmdefect.export.card import DRAWN

MOST = 8
DRAWN_SIDE = 224


def samples(
    cfg: Any, spec: InputSpec, given: Inputs | None = None, *, bits: int | None = None
) -> tuple[list[np.ndarray], str]:
    """Pictures, and where they come from in words.

    Args:
        cfg: Config of the model; its test images are taken, spread over the set.
        spec: Says how large pictures are that are drawn, where there are none.
        given: The user's, of which the first are taken.
        bits: How many of its 16 bits a 16-bit image uses.

    Returns:
        At most :data:`MOST` images ``(H, W, 3)``, BGR, uint8.

    Raises:
        FileNotFoundError: What was given is not there.
        ValueError: It holds no picture, or one that cannot be read.
    """
    if given is not None:
        found = _given(given, bits)
        return found, f'{len(found)} images that were given'
    try:
        tested = _of_dataset(cfg)
    except (AssertionError, KeyError, OSError, ValueError) as error:
        reason = str(error).strip().partition('\n')[0]
        return _drawn(spec), f'{MOST} {DRAWN}, without the test set ({reason})'
    return tested, f'{len(tested)} images of the test set'


def _given(given: Inputs, bits: int | None) -> list[np.ndarray]:
    found = []
    for frame in islice(open_frames(given, bits=bits), MOST):
        if frame.image is None:
            raise ValueError(str(frame.error))
        found.append(frame.image)
    if not found:
        raise ValueError(
            f'images={given!r}: expected at least one picture; name others'
        )
    return found


def _of_dataset(cfg: Any) -> list[np.ndarray]:
    settings = dataset_of(cfg)
    if settings is None:
        raise ValueError('test_dataloader=None')
    dataset = build_dataset(cfg, settings, verified=False)
    if not len(dataset):
        raise ValueError('it has no images')
    places = np.linspace(0, len(dataset) - 1, min(MOST, len(dataset)))
    infos = [dataset.get_data_info(int(place)) for place in places]
    return [_read(info) for info in infos]


def _read(info: Mapping[str, Any]) -> np.ndarray:
    # Masks lie on stored pixels, and so do the images that belong to them.
    return read_info({'exif': 'stored', **info} if 'mask_paths' in info else info)


def _drawn(spec: InputSpec) -> list[np.ndarray]:
    """Blurred noise, finer from one to the next, of the size that a resizing takes."""
    width, height = _size(spec)
    generator = np.random.default_rng(0)
    sides = [4 * (1 + number) for number in range(MOST)]
    coarse = [generator.integers(0, 256, (side, side, 3), np.uint8) for side in sides]
    return [cv2.resize(image, (width, height)) for image in coarse]


def _size(spec: InputSpec) -> Sequence[int]:
    if spec.size is not None:
        return spec.size
    sizes = [step['size'] for step in spec.steps if 'size' in step]
    return sizes[0] if sizes else (DRAWN_SIDE, DRAWN_SIDE)
