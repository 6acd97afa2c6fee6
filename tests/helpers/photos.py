"""A folder of photographs in plain colours, one of them broken."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

COLOURS = {'red': (0, 0, 255), 'blue': (255, 0, 0), 'green': (0, 255, 0)}


def photo(path: Path, colour: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((24, 48, 3), COLOURS[colour], np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def photos(folder: Path, count: int = 3, *, broken: bool = True) -> Path:
    """``00.png`` red, ``01.png`` blue, ``02.png`` green, red ... and ``broken.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        photo(folder / f'{number:02}.png', [*COLOURS][number % 3])
    if broken:
        (folder / 'broken.png').write_bytes(b'not an image')
    return folder
