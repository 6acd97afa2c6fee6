"""Results as files, each written in one piece."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mmdefect.utils.files import in_one_piece, write_json

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction

_QUALITY = 92


def file_stem(source: str) -> str:
    """Name of the files of a source: its own, and digits of the whole of it."""
    digits = hashlib.sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()[:8]
    name = re.split(r'[/\\]', source)[-1]
    # Letters of any language stay; what shells and file systems stumble over does not.
    kept = re.sub(r'[^\w.-]+', '_', name)[:60]
    # File systems count bytes, of which a letter has up to four.
    return f'{kept.encode()[:120].decode(errors="ignore")}-{digits}'


def plain_stem(source: str) -> str | None:
    """Name of an image without its suffix; None if others have it, or it is odd."""
    name = re.split(r'[/\\]', source)[-1]
    stem = Path(name).stem
    # A frame of a video has a number behind its name.
    plain = '#' not in name and re.fullmatch(r'[\w.-]([\w. -]*[\w.-])?', stem)
    return stem if plain and len(stem.encode()) <= 200 else None


def save(
    prediction: Prediction,
    folder: Path,
    image: np.ndarray | None,
    *,
    picture: bool,
    with_map: bool,
) -> Path:
    """Write a result; see :meth:`mmdefect.deploy.result.Prediction.save`."""
    stem = file_stem(prediction.source)
    content = prediction.to_dict(everything=True)
    if prediction.error is None and picture:
        name = f'{stem}.jpg'
        _write(folder / name, encoded(prediction.draw(image)))
        content['picture'] = name
    if with_map and prediction.anomaly_map is not None:
        name = f'{stem}.npy'
        file = io.BytesIO()
        np.save(file, prediction.anomaly_map.astype(np.float32))
        _write(folder / name, file.getvalue())
        content['map']['path'] = name
    path = folder / f'{stem}.json'
    write_json(path, content)
    return path


def encoded(image: np.ndarray) -> bytes:
    """A JPEG of an image ``(H, W, 3)``, BGR, uint8."""
    _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(data)


def _write(path: Path, data: bytes) -> None:
    with in_one_piece(path) as draft:
        draft.write_bytes(data)
