"""Pictures as files that a browser can fetch for as long as the page runs."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from pathlib import Path

import cv2
import numpy as np

from mmdefect.utils.files import in_one_piece

_ONE_WRITES = threading.Lock()


def as_file(picture: np.ndarray) -> str:
    """Write a picture once, and never again while somebody may be reading it.

    Gradio writes an array that is shown twice over its own file, and a browser that is
    in the middle of it gets half a picture.

    Args:
        picture: ``(h, w, 3)`` uint8 in RGB.

    Returns:
        A PNG file in the page's own folder, named after its content.
    """
    _, encoded = cv2.imencode('.png', cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    content = encoded.tobytes()
    folder = Path(os.environ.get('GRADIO_TEMP_DIR') or tempfile.gettempdir())
    path = folder / 'pictures' / f'{hashlib.sha256(content).hexdigest()}.png'
    with _ONE_WRITES:
        if not path.is_file():
            with in_one_piece(path) as draft:
                draft.write_bytes(content)
    return str(path)
