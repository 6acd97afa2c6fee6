"""Pictures on which a package is compared with its model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from mmdefect.apis.trained import test_dataset
from mmdefect.datasets.images import read_info
from mmdefect.deploy.inputs import InputSpec
from mmdefect.deploy.sources import Inputs, open_frames

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
        ValueError: It holds a picture that cannot be read.
    """
    if given is not None:
        found = _given(given, bits)
        return found, f'{len(found)} images that were given'
    tested = _of_dataset(cfg)
    if tested:
        return tested, f'{len(tested)} images of the test set'
    return _drawn(spec), f'{MOST} drawn images, as there was no test set'


def _given(given: Inputs, bits: int | None) -> list[np.ndarray]:
    found = []
    for frame in islice(open_frames(given, bits=bits), MOST):
        if frame.image is None:
            raise ValueError(str(frame.error))
        found.append(frame.image)
    return found


def _of_dataset(cfg: Any) -> list[np.ndarray]:
    """Images of the test set; none where it is not on this machine."""
    from mmengine.registry import DATASETS, DefaultScope

    settings = copy.deepcopy(test_dataset(cfg))
    if settings is None:
        return []
    # Eight images are looked at here, not all of them.
    if str(settings.get('type')).startswith('mmdefect.'):
        settings.pop('cache_gb', None)
    try:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            dataset = DATASETS.build(settings)
        places = np.linspace(0, len(dataset) - 1, min(MOST, len(dataset)))
        infos = [dataset.get_data_info(int(place)) for place in places]
        return [_read(info) for info in infos]
    except (OSError, ValueError, AssertionError):
        return []


def _read(info: Any) -> np.ndarray:
    return read_info({'exif': 'stored', **info} if _is_anomaly(info) else info)


def _is_anomaly(info: Any) -> bool:
    return 'mask_paths' in info


def _drawn(spec: InputSpec) -> list[np.ndarray]:
    """Blurred noise of the size that the first resizing takes."""
    import cv2

    width, height = _size(spec)
    generator = np.random.default_rng(0)
    found = []
    for number in range(MOST):
        side = 4 * (1 + number)
        coarse = generator.integers(0, 256, (side, side, 3), np.uint8)
        found.append(cv2.resize(coarse, (width, height)))
    return found


def _size(spec: InputSpec) -> Sequence[int]:
    if spec.size is not None:
        return spec.size
    sizes = [step['size'] for step in spec.steps if 'size' in step]
    return sizes[0] if sizes else (DRAWN_SIDE, DRAWN_SIDE)


