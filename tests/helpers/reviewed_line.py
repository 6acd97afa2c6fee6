"""A line of small packages, and decisions on drawn pictures in its log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mmdefect.line.folder import Line
from mmdefect.line.log import Row
from mmdefect.line.settings import LineSettings
from mmdefect.utils.files import file_sha256
from tests.helpers.hand_package import hand_package

SIZE = 64, 48
"""Width and height of a picture."""
DENT = {'name': 'dent', 'box': [4, 8, 20, 24], 'score': 0.75}
CRACK = {'name': 'crack', 'box': [30, 20, 60, 40], 'score': 0.75}
_SPECS: dict[str, dict[str, Any]] = {
    'boxes': {'thresholds': {'dent': 0.5, 'crack': 0.5}},
    'maps': {'thresholds': {'bottle': 0.5}},
    'routed': {'thresholds': {'bottle': 0.5, 'cable': 0.5}},
    'labels': {'defective': 'red', 'thresholds': {'red': 0.5}},
}


def make_line(folder: Path, task: str = 'boxes', **settings: Any) -> Line:
    """A line with a promoted version; all pictures are kept unless settings differ."""
    settings = {'keep_images': 'all', **settings}
    line = Line.create(folder, settings=LineSettings(**settings))
    add_version(line, task)
    return line


def add_version(line: Line, task: str = 'boxes', **spec: Any) -> str:
    """Promote another package, without a gate."""
    name = f'v{len([*line.versions_dir.iterdir()]) + 1:04d}'
    spec = {'calibrated': True, **_SPECS[task], **spec}
    package = hand_package(line.versions_dir / name, task, **spec)
    line.pointer.unlink(missing_ok=True)
    line.pointer.symlink_to(Path('versions') / name)
    sha256 = file_sha256(package.folder / 'package.json')
    body = {'state': 'promoted', 'package': sha256}
    line.log.append('promotion', version=name, body=body)
    return name


def draw(path: Path, seed: int = 0, colour: tuple[int, int, int] | None = None) -> Path:
    """A picture: of a colour (BGR), or noise of which no two seeds are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (SIZE[1], SIZE[0], 3)
    pixels = np.random.default_rng(seed).integers(0, 255, size, np.uint8)
    if colour is not None:
        pixels[:] = colour
    assert cv2.imwrite(str(path), pixels)
    return path


def decide(line: Line, path: Path, *found: dict[str, Any], **fields: Any) -> Row:
    """Append a decision on a picture, and keep it as the line's policy says."""
    image = file_sha256(path)
    if line.settings.keep_images != 'none':
        line.images.add(image, path.read_bytes(), suffix=path.suffix)
    body: dict[str, Any] = {'task': 'boxes', 'size': [*SIZE]}
    if found:
        body['boxes'] = [*found]
    given = {
        'version': line.current(),
        'image': image,
        'source': str(path),
        'decision': 'defective' if found else 'ok',
        'kinds': [one['name'] for one in found],
        'score': 0.75 if found else 0.25,
        'threshold': 0.5,
        **fields,
    }
    return line.log.append('decision', body={**body, **given.pop('body', {})}, **given)
