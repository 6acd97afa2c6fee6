"""Decoding images: whether it works, and keeping the results in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
from PIL import Image, UnidentifiedImageError


def decode_error(path: Path) -> str | None:
    """Decode an image and say why it is broken.

    PIL is used because it notices a truncated file and says so; some builds of OpenCV
    fill the missing part with grey in silence.

    Args:
        path: The image file.

    Returns:
        None for a sound image, otherwise a few words.
    """
    if not path.is_file():
        return 'missing file'
    try:
        with Image.open(path) as image:
            image.load()
    except UnidentifiedImageError:
        return 'no image'
    except (OSError, SyntaxError, ValueError) as error:
        return str(error)
    return None


def fill_cache(paths: Sequence[str], *, max_bytes: int) -> dict[str, np.ndarray]:
    """Decode images until the memory is used up.

    Filled once, in order, before workers are forked: they share the pages, and which
    images are cached does not depend on timing.

    Args:
        paths: Image files.
        max_bytes: Memory for decoded images.

    Returns:
        Path -> uint8 image of shape (height, width, 3), BGR, read-only.
    """
    cache: dict[str, np.ndarray] = {}
    used = 0
    for path in dict.fromkeys(paths):
        image = mmcv.imread(path)
        if image is None:  # LoadCachedImage will name the file
            continue
        used += image.nbytes
        if used > max_bytes:
            break
        image.setflags(write=False)
        cache[path] = image
    return cache
